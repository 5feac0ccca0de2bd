"""Everything that may go wrong, at once and for hours: `python -m tests.hostile --hours 3`."""
