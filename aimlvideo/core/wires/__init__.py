"""The wires: requests out, answers in. Each is the sole knower of its service's paths, fields and status words."""
