"""How a run stands, looked at from outside, and said to a person."""
