"""The command `aimlvideo`: its commands, what they have in common, and what a person or an agent sees of them."""
