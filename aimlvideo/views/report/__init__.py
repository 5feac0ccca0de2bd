"""The page that shows a run: its clips, failures, times and prices. Made from a journal, or live on a board."""
