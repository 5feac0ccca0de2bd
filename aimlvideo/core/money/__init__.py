"""Prices, the budget of a run, and what the service charged."""
