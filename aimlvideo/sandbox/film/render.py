"""A storyboard into a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

from aimlvideo.sandbox.film.caption import caption
from aimlvideo.sandbox.film.encode import write_clip
from aimlvideo.sandbox.film.montage import Frame, Take, frames, takes_of_shot
from aimlvideo.sandbox.film.sound import chord
from aimlvideo.sandbox.film.stills import Still, open_still, picture_size, scene_still
from aimlvideo.sandbox.film.storyboard import Shot, Storyboard, preview_size
from aimlvideo.sandbox.film.views import Size

_NARROWEST, _WIDEST = 9 / 21, 21 / 9


def render(place: Path, board: Storyboard, go_on: Callable[[], None]) -> None:
    """Write the clip; `go_on` is called before every frame, and may raise to give up."""
    size = board.shape or _shape_of_picture(board)
    lengths = [board.seconds * shot.weight / sum(shot.weight for shot in board.shots) for shot in board.shots]
    ends = list(accumulate(lengths))
    starts = [0.0, *ends[:-1]]
    takes = [
        take
        for shot, start, end in zip(board.shots, starts, ends, strict=True)
        for take in _takes(board, shot, start, end, size)
    ]
    captions = [(start, caption(shot.prompt, size)) for start, shot in zip(starts, board.shots, strict=True)]
    sound = chord(board.shots[0].prompt, board.seconds) if board.sound else None
    write_clip(place, size, _watched(frames(takes, captions, board.seconds, size), go_on), sound)


def _shape_of_picture(board: Storyboard) -> Size:
    """Return the shape of the first picture, within what a film may have."""
    wide, high = picture_size(board.shots[0].pictures[0]) or (16, 9)
    ratio = min(max(wide / high, _NARROWEST), _WIDEST)
    return preview_size(ratio, 1.0)


def _takes(board: Storyboard, shot: Shot, start: float, end: float, size: Size) -> list[Take]:
    stills = _stills(board, shot, size)
    if shot.tail:
        stills.append(open_still(shot.tail, size))
    seed = f"{shot.prompt}{start}"
    return takes_of_shot(stills, start, end, to_last=shot.tail is not None and len(stills) > 1, seed=seed)


def _stills(board: Storyboard, shot: Shot, size: Size) -> list[Still]:
    """Return what a shot shows: its pictures, else the film's, else the scene that its prompt asks for."""
    if shot.pictures:
        return [open_still(picture, size) for picture in shot.pictures]
    closer = (0.1, 0.25, 0.16)[board.shots.index(shot) % 3]
    shared = [open_still(picture, size, closer=closer) for picture in board.shots[0].pictures[:1]]
    return shared or [scene_still(shot.prompt, size)]


def _watched(pictures: Iterator[Frame], go_on: Callable[[], None]) -> Iterator[Frame]:
    for picture in pictures:
        go_on()
        yield picture
