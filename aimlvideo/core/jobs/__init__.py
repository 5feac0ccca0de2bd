"""A job, its stages, its ids and its file names."""
