"""A title and a comment in an MP4 file's index, where players show them. Source: ISO/IEC 14496-12, section 8.

The index (`moov`) is written anew as a whole, so that nothing is changed where anything in it is not as it should be.
What stands behind it moves, and all that points there moves along.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

from aimlvideo.core.mp4_boxes import HEADER, MAX_BOXES, MAX_READ, Box

TITLE, COMMENT = b"\xa9nam", b"\xa9cmt"
_AROUND_OFFSETS = (b"trak", b"mdia", b"minf", b"stbl")
_OFFSETS = {b"stco": "I", b"co64": "Q"}
_TEXTS = b"\0\0\0\0" + b"\0\0\0\x21hdlr" + bytes(8) + b"mdirappl" + bytes(9)
"""How a `meta` begins that has a list of texts (`ilst`) and nothing else."""
_HIDDEN_OFFSETS = (b"iloc", b"saio", b"cmov")
"""Boxes of an index that point into the file in other ways, or hide that they do: few clips have any."""
_SIGNED = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""The user type of a box with content credentials (C2PA): a signature over the film, which any change would break."""
_FROM_THE_START = 0x1
"""The flag of a track in a fragment that it counts from the start of the file."""


class _NewIndex(NamedTuple):
    """What stands from `start` to `end` in a file gives way to `content`, which is never shorter.

    `further` has what is to be written beside that, and where, once the rest has moved.
    """

    start: int
    end: int
    content: bytes
    further: tuple[tuple[int, bytes], ...]


def with_texts(file: BinaryIO, length: int, texts: Mapping[bytes, str]) -> _NewIndex | None:
    """Return the index of a film with these texts in it, in place of those that it has under the same names.

    None where the file is no MP4, is signed, or has anything that would point to a wrong place once the rest has moved.
    """
    boxes = list(Box.between(file, 0, length))
    place = next((number for number, box in enumerate(boxes) if box.kind == b"moov"), -1)
    if place < 0 or len(boxes) == MAX_BOXES or not boxes[place].start < boxes[place].end <= length:
        return None
    if any(box.kind == b"uuid" and box.content().startswith(_SIGNED) for box in boxes):
        return None
    start, end, old = boxes[place - 1].end if place else 0, boxes[place].end, boxes[place].content()
    before, behind = ({box.kind for box in part} for part in (boxes[:place], boxes[place + 1 :]))
    counts_otherwise = b"meta" in before | behind or b"sidx" in before or b"moov" in behind
    if counts_otherwise or len(old) == MAX_READ or any(kind in old for kind in _HIDDEN_OFFSETS):
        return None
    try:
        new = bytearray(_box(b"moov", _with_texts(old, texts, at_least=end - start - HEADER)))
        grown = len(new) - (end - start)
        _move_offsets(new, HEADER, len(new), end, grown)
        # A last one that was cut has nothing to be moved.
        further = tuple(_moved_pointers([box for box in boxes if end < box.end <= length], end, grown))
    except (ValueError, OverflowError, struct.error):
        return None
    return _NewIndex(start, end, bytes(new), further)


def _moved_pointers(boxes: list[Box], end: int, by: int) -> Iterator[tuple[int, bytes]]:
    """Yield what fragments, and the table of them, have to point to once all that stands behind `end` has moved."""
    for box in boxes:
        for place, width in _pointers(box):
            box.file.seek(place)
            pointer = int.from_bytes(box.file.read(width))
            yield place + by, (pointer + by if pointer >= end else pointer).to_bytes(width)


def _pointers(box: Box) -> Iterator[tuple[int, int]]:
    """Yield where a fragment, or the table of them, has a number that counts from the file's start, and its bytes."""
    if box.kind == b"moof":
        for head in box.inside(b"traf", b"tfhd"):
            if int.from_bytes(head.content()[1:4]) & _FROM_THE_START and head.start + 16 <= head.end:
                yield head.start + 8, 8
    elif box.kind == b"mfra":
        for table in box.inside(b"tfra"):
            content = table.content()
            width = 8 if content[:1] == b"\1" else 4
            # TrackFragmentRandomAccessBox: a moment and a place, then three numbers of one to four bytes each.
            sizes = int.from_bytes(content[8:12])
            entry = 2 * width + 3 + sum(sizes >> bits & 3 for bits in (0, 2, 4))
            entries_end = 16 + entry * int.from_bytes(content[12:16])
            if entries_end > len(content):
                raise ValueError("a table beyond the end of its box")
            yield from ((table.start + at + width, width) for at in range(16, entries_end, entry))


def _with_texts(moov: bytes, texts: Mapping[bytes, str], *, at_least: int) -> bytes:
    """Return what stands in an index, with these texts, and at least so many bytes of it."""
    items = b"".join(_box(name, _box(b"data", b"\0\0\0\1\0\0\0\0" + text.encode())) for name, text in texts.items())
    kind, _, first_end = next(_split(moov), (b"", 0, 0))
    if kind != b"mvhd":
        raise ValueError("an index without its head")
    udta = next(((start, end) for kind, start, end in _split(moov) if kind == b"udta"), None)
    if udta is None:
        udta = first_end + HEADER, first_end + HEADER
        moov = moov[:first_end] + _box(b"udta", b"") + moov[first_end:]
    start, end = udta
    tagged = moov[: start - HEADER] + _box(b"udta", _in_user_data(moov[start:end], items, texts)) + moov[end:]
    if (missing := at_least - len(tagged)) > 0:
        return tagged[:first_end] + _box(b"free", bytes(max(0, missing - HEADER))) + tagged[first_end:]
    return tagged


def _in_user_data(udta: bytes, items: bytes, names: Mapping[bytes, str]) -> bytes:
    for kind, start, end in _split(udta):
        meta = udta[start:end]
        # A `meta` of another kind (`mdta`) has numbers for names: texts of ours in it would be read by nobody.
        if kind == b"meta" and meta[8:12] == b"hdlr" and meta[20:24] == b"mdir":
            return udta[: start - HEADER] + _box(b"meta", _in_meta(meta, items, names)) + udta[end:]
    return _box(b"meta", _TEXTS + _box(b"ilst", items)) + udta


def _in_meta(meta: bytes, items: bytes, names: Mapping[bytes, str]) -> bytes:
    boxes = list(_split(meta, 4))
    for kind, start, end in boxes:
        if kind == b"ilst":
            others = (meta[at - HEADER : to] for name, at, to in _split(meta, start, end) if name not in names)
            return meta[: start - HEADER] + _box(b"ilst", b"".join(others) + items) + meta[end:]
    head_end = boxes[0][2]
    return meta[:head_end] + _box(b"ilst", items) + meta[head_end:]


def _move_offsets(data: bytearray, start: int, end: int, behind: int, by: int) -> None:
    """Move what points behind a place of the file, in all tracks that stand here."""
    for kind, at, to in _split(data, start, end):
        if kind in _AROUND_OFFSETS:
            _move_offsets(data, at, to, behind, by)
        elif kind in _OFFSETS:
            table = struct.Struct(f">{int.from_bytes(data[at + 4 : at + 8])}{_OFFSETS[kind]}")
            if at + 8 + table.size > to:
                raise ValueError("a table beyond the end of its box")
            offsets = table.unpack_from(data, at + 8)
            table.pack_into(data, at + 8, *(offset + by if offset >= behind else offset for offset in offsets))


def _split(data: bytes | bytearray, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield each box's kind and where its content begins and ends. Raises ValueError for one that cannot be."""
    end = len(data) if end is None else end
    # Some lists of QuickTime end with four zero bytes.
    while start + HEADER <= end:
        size = int.from_bytes(data[start : start + 4])
        if not HEADER <= size <= end - start:
            raise ValueError("a box of an impossible size")
        yield bytes(data[start + 4 : start + HEADER]), start + HEADER, start + size
        start += size


def _box(kind: bytes, content: bytes) -> bytes:
    return (HEADER + len(content)).to_bytes(4) + kind + content
