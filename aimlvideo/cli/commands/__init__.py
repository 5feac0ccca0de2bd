"""One module for each command, named as it is typed: its flags, and what it does."""
