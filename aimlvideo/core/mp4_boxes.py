"""What an MP4 file's own boxes say of whether it is whole. Source: ISO/IEC 14496-12, sections 4.2 and 8.8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

HEADER = 8
FIRST = {b"ftyp", b"moov", b"moof", b"styp", b"free", b"skip", b"wide", b"mdat", b"sidx", b"emsg"}
"""A file whose first box is none of these is no MP4, and its boxes say nothing."""
STANDARD = FIRST | {b"meta", b"uuid", b"udta", b"mfra", b"pdin", b"prft", b"ssix", b"pnot", b"PICT"}
"""Boxes that stand at the top of a file. Any other one may be the beginning of what is no box at all."""
NEEDED = {b"moov", b"moof", b"mdat"}
"""Boxes without whose end a film has none; players pass over the others."""
MAX_BOXES = 200_000
MAX_READ = 2**24
"""Bytes of one box that are read: the index of an hour has a tenth."""
NEARLY = 0.95
"""The share of its announced length from which a film counts as whole: sound and pictures end apart."""

_DURATION_OF_EACH, _DEFAULT_DURATION = 0x100, 0x8


class Box(NamedTuple):
    """A box of a file, of which nothing but its head has been read."""

    file: BinaryIO
    kind: bytes
    start: int
    """Where its content begins."""
    end: int

    @staticmethod
    def between(file: BinaryIO, place: int, end: int) -> Iterator[Box]:
        """Yield boxes that stand one after the other; the last may reach beyond `end`, be endless (-1) or senseless."""
        # Bounded: a file of tiny boxes would otherwise cost a seek for each eight bytes.
        for _ in range(MAX_BOXES):
            if place >= end:
                return
            file.seek(place)
            header = file.read(2 * HEADER)
            size, start = int.from_bytes(header[:4]), place + HEADER
            # A size of 1 says that the real one follows in 64 bits: clips of more than 4 GB.
            if size == 1:
                size, start = int.from_bytes(header[8:16]), place + 2 * HEADER
            if end < start:
                yield Box(file, b"", place, end + 1)
                return
            kind = header[4:8]
            if size == 0 or size < start - place:
                yield Box(file, kind, start, -1 if size == 0 else 0)
                return
            yield Box(file, kind, start, place + size)
            place += size

    def content(self) -> bytes:
        """Return what stands in it, at most `MAX_READ` bytes."""
        length = self.end - self.start
        self.file.seek(self.start)
        # Of an endless box, too: the rest of a clip may be gigabytes.
        return self.file.read(length if 0 <= length <= MAX_READ else MAX_READ)

    def inside(self, kind: bytes, *further: bytes) -> list[Box]:
        """Return the boxes of a kind inside this one, or at a path inside it."""
        inner_boxes = [box for box in Box.between(self.file, self.start, self.end) if box.kind == kind]
        return [deep for box in inner_boxes for deep in box.inside(*further)] if further else inner_boxes

    def first_content(self, *path: bytes) -> bytes:
        """Return what stands in the first box at a path inside this one; nothing where there is none."""
        return next((box.content() for box in self.inside(*path)), b"")


def is_whole_mp4(file: BinaryIO, length: int) -> bool | None:
    """Tell whether a file of this length has all its boxes to their end; None where it is no MP4, or nobody can tell.

    A box says how long it is, so a file that was cut ends inside one; without its index (`moov`) no player shows it. A
    chain of fragments looks whole wherever it is cut between two of them: its index, its end, or the length that it
    announces for all of them say whether the last one is there.
    """
    boxes = list(Box.between(file, 0, length))
    if not boxes or boxes[0].kind not in FIRST or len(boxes) == MAX_BOXES:
        return None if length >= HEADER or length == 0 else False
    last, kinds = boxes[-1], {box.kind for box in boxes}
    if last.end < 0:  # to the end of the file, wherever that is
        return None if b"moov" in kinds else False
    if last.end < last.start:
        return None
    # What some hosts put behind a film (a line end, a comment) is no box, and no sign that anything is missing.
    is_followed = last.end > length and last.kind not in STANDARD and {b"moov", b"mdat"} <= kinds
    if b"moov" not in kinds or (last.end != length and not is_followed):
        return False
    if b"moof" in kinds or _announces_fragments(boxes):
        return last.end == length and _has_all_fragments(boxes, length)
    return None if is_followed else True


def is_surely_cut_mp4(file: BinaryIO, length: int) -> bool:
    """Tell whether a file ends inside one of its boxes, or has no index, so that no player shows it.

    For a file that came at the length that was announced: what is only odd, or has no media at all, is left to players.
    """
    boxes = list(Box.between(file, 0, length))
    if not boxes or boxes[0].kind not in FIRST or any(box.kind not in STANDARD for box in boxes):
        return False
    last, kinds = boxes[-1], {box.kind for box in boxes}
    if last.end > length and last.kind in NEEDED:
        return True
    return b"mdat" in kinds and last.end != 0 and kinds.isdisjoint({b"moov", b"moof"})


def is_led_by_its_index(head: BinaryIO, length: int) -> bool:
    """Tell whether a film of this length that begins so has its whole index here, and nothing behind its pictures."""
    boxes = list(Box.between(head, 0, length))
    last = boxes[-1] if boxes else Box(head, b"", 0, 0)
    is_all = last.kind == b"mdat" and last.end == length and last.start <= head.seek(0, 2)
    return is_all and any(box.kind == b"moov" for box in boxes)


def _has_all_fragments(boxes: list[Box], length: int) -> bool | None:
    """Tell whether a chain of fragments that ends with a whole box is complete."""
    if not any(box.kind == b"moof" for box in boxes):
        return any(box.kind == b"mdat" for box in boxes)
    if boxes[-1].kind in (b"moof", b"styp", b"sidx"):  # announces what is not there
        return False
    # The table of all fragments stands at the very end: where it is, nothing can be missing.
    if boxes[-1].kind == b"mfra":
        return True
    ends = [_indexed_end(box) for box in boxes if box.kind == b"sidx"]
    if len(ends) == 1 or length < max(ends, default=0):  # with one each, nothing tells that there is another segment
        return length >= max(ends)
    announced, film = _announced_seconds(boxes), _fragment_seconds(boxes)
    # Nearly: muxers round the announced length, and the last fragment may be a frame short.
    return None if announced is None or film is None else film >= NEARLY * announced


def _announces_fragments(boxes: list[Box]) -> bool:
    return any(box.inside(b"mvex") for box in boxes if box.kind == b"moov")


def _indexed_end(index: Box) -> int:
    """Return where the last part ends that an index of segments lists."""
    content = index.content()
    # ISO/IEC 14496-12, SegmentIndexBox: version 0 has moments and offsets in 32 bits, version 1 in 64.
    at = 20 if content[:1] == b"\0" else 28
    offset = int.from_bytes(content[16:20] if content[:1] == b"\0" else content[20:28])
    count = int.from_bytes(content[at + 2 : at + 4])
    sizes = (int.from_bytes(content[at + 4 + 12 * n : at + 8 + 12 * n]) & 0x7FFFFFFF for n in range(count))
    return index.end + offset + sum(sizes)


def _announced_seconds(boxes: list[Box]) -> float | None:
    """Return how long all fragments last together, as the index announces it."""
    moov = next(box for box in boxes if box.kind == b"moov")
    header = moov.first_content(b"mvhd")
    extended = moov.first_content(b"mvex", b"mehd")
    scale = int.from_bytes(header[20:24] if header[:1] == b"\1" else header[12:16])
    length = int.from_bytes(extended[4:12] if extended[:1] == b"\1" else extended[4:8])
    return length / scale if scale and length else None


def _fragment_seconds(boxes: list[Box]) -> float | None:
    """Return how long the fragments last that are there: their longest track."""
    moov = next(box for box in boxes if box.kind == b"moov")
    scales, defaults = _scales(moov), _defaults(moov)
    lengths: dict[int, float] = {}
    for moof in (box for box in boxes if box.kind == b"moof"):
        for traf in moof.inside(b"traf"):
            head = traf.first_content(b"tfhd")
            track = int.from_bytes(head[4:8])
            usual = _usual_duration(head) or defaults.get(track, 0)
            total = sum(_run_length(run.content(), usual) for run in traf.inside(b"trun"))
            lengths[track] = lengths.get(track, 0.0) + total / scales.get(track, 1)
    return max(lengths.values(), default=None)


def _scales(moov: Box) -> dict[int, int]:
    """Return how many units a second has in each track."""
    scales = {}
    for trak in moov.inside(b"trak"):
        header = trak.first_content(b"tkhd")
        media = trak.first_content(b"mdia", b"mdhd")
        track = int.from_bytes(header[20:24] if header[:1] == b"\1" else header[12:16])
        scales[track] = int.from_bytes(media[20:24] if media[:1] == b"\1" else media[12:16]) or 1
    return scales


def _defaults(moov: Box) -> dict[int, int]:
    contents = (box.content() for box in moov.inside(b"mvex", b"trex"))
    return {int.from_bytes(content[4:8]): int.from_bytes(content[12:16]) for content in contents}


def _usual_duration(head: bytes) -> int:
    """Return how long a sample of a fragment lasts that says nothing else; 0 where the fragment does not say either."""
    flags = int.from_bytes(head[1:4])
    at = 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    return int.from_bytes(head[at : at + 4]) if flags & _DEFAULT_DURATION else 0


def _run_length(content: bytes, usual: int) -> int:
    """Return how long the samples of one run last together, in units of their track."""
    flags, count = int.from_bytes(content[1:4]), int.from_bytes(content[4:8])
    # ISO/IEC 14496-12, TrackRunBox: the flags say which of four numbers each sample has.
    if not flags & _DURATION_OF_EACH:
        return count * usual
    at = 8 + (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
    width = 4 * sum(bool(flags & flag) for flag in (0x100, 0x200, 0x400, 0x800))
    return sum(int.from_bytes(content[n : n + 4]) for n in range(at, min(at + count * width, len(content)), width))
