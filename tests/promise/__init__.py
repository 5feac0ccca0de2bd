"""The promise as a model: random histories against the real client and the real commands."""
