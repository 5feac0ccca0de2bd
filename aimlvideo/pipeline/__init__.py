"""The stages of a job wired together: submit, poll, download, and the search for lost submissions."""
