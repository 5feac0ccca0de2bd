"""Colours by their hex digits, and between each other."""

from __future__ import annotations

Colour = tuple[float, float, float]
"""Red, green and blue from 0 to 1."""


def colour(text: str) -> Colour:
    """Return the colour that six hex digits name."""
    red, green, blue = bytes.fromhex(text)
    return red / 255, green / 255, blue / 255


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """Return the colour between two, at `share` of the way to the other."""
    red, green, blue = (a + share * (b - a) for a, b in zip(one, other, strict=True))
    return red, green, blue
