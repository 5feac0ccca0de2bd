"""Whether a file is whole, by its own boxes."""

from __future__ import annotations

import io

import pytest

from aimlvideo.core.mp4_boxes import is_fragmented, is_whole_mp4


def box(kind: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    length = len(content) + 8 if size is None else size
    return length.to_bytes(4) + kind + content


FTYP = box(b"ftyp", b"isom")
MDAT = box(b"mdat", bytes(100))
LONG = (1).to_bytes(4) + b"mdat" + (116).to_bytes(8) + bytes(100)


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (FTYP + box(b"moov") + MDAT, True),
        (FTYP + MDAT + box(b"moov", b"x"), True),
        (FTYP + LONG + box(b"moov"), True),
        ((FTYP + box(b"moov") + MDAT)[:-1], False),
        ((FTYP + MDAT + box(b"moov", b"x"))[:-9], False),
        (FTYP + MDAT, False),
        (FTYP, False),
        (FTYP + box(b"moov") + b"mda", False),
        (FTYP + box(b"moov") + box(b"mdat", bytes(9), size=0), None),
        (FTYP + box(b"mdat", bytes(9), size=0), False),
        (b"RIFF" + bytes(100), None),
        (FTYP + box(b"junk", size=3), None),
    ],
)
def test_a_clip_that_was_cut_is_known_by_its_boxes(content: bytes, whole: bool | None) -> None:
    assert is_whole_mp4(io.BytesIO(content), len(content)) is whole


def test_fragments_are_told_from_one_piece() -> None:
    for content, fragmented in ((FTYP + box(b"moov") + box(b"moof") + MDAT, True), (FTYP + box(b"moov") + MDAT, False)):
        assert is_fragmented(io.BytesIO(content), len(content)) is fragmented
