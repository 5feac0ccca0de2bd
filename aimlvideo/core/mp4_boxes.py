"""What an MP4 file's own boxes say of whether it is whole. Source: ISO/IEC 14496-12, section 4.2."""

from __future__ import annotations

from typing import BinaryIO

HEADER = 8
NEEDED = {b"moov"}
FIRST = {b"ftyp", b"moov", b"moof", b"styp", b"free", b"skip", b"wide", b"mdat"}
"""A file whose first box is none of these is no MP4, and its boxes say nothing."""


def is_whole_mp4(file: BinaryIO, length: int) -> bool | None:
    """Tell whether a file of this length has all its boxes to their end; None where it is no MP4, or nobody can tell.

    A box says how long it is, so a file that was cut ends inside one; without its index (`moov`) no player shows it.
    """
    place, kinds = 0, set[bytes]()
    while place < length:
        file.seek(place)
        header = file.read(2 * HEADER)
        size, kind = int.from_bytes(header[:4]), header[4:8]
        if not kinds and kind not in FIRST:
            return None
        if len(header) < HEADER:
            return False
        if size == 1:
            size = int.from_bytes(header[8:16])
        if size == 0:  # to the end of the file, wherever that is
            return None if kinds | {kind} >= NEEDED else False
        if size < HEADER:
            return None
        kinds.add(kind)
        place += size
    return place == length and kinds >= NEEDED


def is_fragmented(file: BinaryIO, length: int) -> bool:
    """Tell whether a file is a chain of fragments: cut between two of them, it looks whole."""
    file.seek(0)
    return b"moof" in file.read(min(length, 2**20))
