"""A storyboard into a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aimlvideo.sandbox.film.storyboard import Storyboard, preview_size
from aimlvideo.sandbox.film.tiny import write_tiny


def render(place: Path, board: Storyboard, go_on: Callable[[], None]) -> None:
    """Write the clip; `go_on` is called before every frame, and may raise to give up."""
    go_on()
    write_tiny(place, board.shape or preview_size(16, 9), board.seconds)
