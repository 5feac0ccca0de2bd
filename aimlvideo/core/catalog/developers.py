"""Whose models they are, by their ids."""

from __future__ import annotations

_DEVELOPERS = {
    "kling-video": "klingai",
    "wan": "alibaba",
    "veo2": "google",
    "veo-3.1-lite-generate-001": "google",
    "video-01": "minimax",
    "video-01-live2d": "minimax",
    "gen3a_turbo": "runway",
    "runway-gen3": "runway",
}
"""Of ids that carry no developer, or another name for one that has several."""


def developer_of(model: str) -> str:
    """Return the developer's short name: the part of the id before the slash, or whose model it is known to be."""
    first = model.split("/", maxsplit=1)[0]
    return _DEVELOPERS.get(first, first)
