"""The stations in a row: submit, poll, download; and the one that looks for what was lost on the way."""
