"""Make what is checked in but not written by hand: `catalog.json` from gathered facts, the typed builders from it."""
