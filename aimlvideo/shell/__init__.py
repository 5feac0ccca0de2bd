"""Effects: one kind per file; siblings do not know each other."""
