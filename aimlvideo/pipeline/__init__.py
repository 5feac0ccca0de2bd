"""What moves jobs from stage to stage: submit, poll, download, and the search for lost submissions."""
