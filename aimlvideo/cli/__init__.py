"""The command: settings, job files, rendering."""
