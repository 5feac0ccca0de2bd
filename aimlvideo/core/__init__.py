"""Decisions: no await, no clock, no disk, no socket, no randomness."""
