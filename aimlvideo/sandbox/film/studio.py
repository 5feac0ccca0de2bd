"""Makes clips off the event loop, each only once."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Literal

from aimlvideo.sandbox.film.encode import write_tiny
from aimlvideo.sandbox.film.render import render
from aimlvideo.sandbox.film.storyboard import Storyboard, preview_size

WORKERS = 2
"""Clips made at once: x264 and Pillow release the interpreter's lock, so two threads use two cores."""

_HELD_IN_MEMORY = 65_536


@dataclass(frozen=True, slots=True)
class Clip:
    """A finished file. `held` is its content where it is small."""

    place: Path
    size: int
    held: bytes | None

    @property
    def is_there(self) -> bool:
        """Tell whether it can still be read: a file goes when its studio is closed."""
        return self.held is not None or self.place.exists()

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to `stop`."""
        if self.held is not None:
            return self.held[start:stop]
        with self.place.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


class Studio:
    """Two workers and a folder of finished clips, which is gone when the studio is closed."""

    def __init__(self) -> None:
        self._closing = Event()
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="sandbox-studio")
        self._folder = TemporaryDirectory(prefix="aimlvideo-sandbox-", ignore_cleanup_errors=True)
        self._clips: dict[str, Future[Clip]] = {}

    def order(self, board: Storyboard, kind: Literal["full", "tiny"]) -> Future[Clip]:
        """Return the clip of a storyboard, or the promise of it."""
        if kind == "tiny":
            board = replace(board, shape=board.shape or preview_size(16, 9), shots=(), sound=False)
        name = blake2b(repr((kind, board)).encode(), digest_size=16).hexdigest()
        if name not in self._clips:
            self._clips[name] = self._workers.submit(self._make, board, Path(self._folder.name, f"{name}.mp4"))
        return self._clips[name]

    def _make(self, board: Storyboard, place: Path) -> Clip:
        if not board.shots and board.shape:
            write_tiny(place, board.shape, board.seconds)
        else:
            render(place, board, self._go_on)
        size = place.stat().st_size
        return Clip(place, size, place.read_bytes() if size <= _HELD_IN_MEMORY else None)

    def _go_on(self) -> None:
        if self._closing.is_set():
            raise CancelledError

    @property
    def clips(self) -> int:
        """How many different clips were ordered."""
        return len(self._clips)

    def close(self) -> None:
        """Stop making clips, within about a frame's time, and delete them all."""
        self._closing.set()
        self._workers.shutdown(cancel_futures=True)
        self._folder.cleanup()
