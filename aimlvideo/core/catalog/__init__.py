"""What the models accept: the catalog, and checking a job against it."""
