"""Texts in the index of a film: what points to its pictures still does, and what cannot be moved stays as it is."""

from __future__ import annotations

import io
from itertools import pairwise
from random import Random

import pytest

from aimlvideo.core import mp4_boxes, mp4_tags
from aimlvideo.core.mp4_tags import COMMENT, TITLE, with_texts
from tests.cases import for_each
from tests.core.test_mp4_boxes import FTYP, box, full, long_box

TEXTS = {TITLE: "waves", COMMENT: "{}"}
MVHD = full(b"mvhd", 0, 0, 1000, 5000)
PICTURES = [b"first picture", b"second picture", b"third picture"]
OTHERS = {b"\xa9too": "an encoder", b"\xa9day": "2026"}


def item(name: bytes, text: str) -> bytes:
    return box(name, box(b"data", b"\0\0\0\1\0\0\0\0" + text.encode()))


def user_data(items: bytes, kind: bytes = b"mdir", tail: bytes = b"") -> bytes:
    head = full(b"hdlr", 0) + kind + bytes(13)
    return box(b"udta", box(b"meta", bytes(4) + box(b"hdlr", head[8:]) + box(b"ilst", items)) + tail)


def index_of(offsets: list[int], extra: bytes = b"", table: bytes = b"stco") -> bytes:
    width = 4 if table == b"stco" else 8
    entries = len(offsets).to_bytes(4) + b"".join(offset.to_bytes(width) for offset in offsets)
    stbl = box(b"stbl", full(b"stts", 0) + box(table, bytes(4) + entries))
    trak = box(b"trak", box(b"tkhd", bytes(20)) + box(b"mdia", box(b"minf", stbl)))
    return MVHD + trak + extra


def film(extra: bytes = b"", *, index_first: bool = True, table: bytes = b"stco", header: int = 8) -> bytes:
    """Return a film of three pictures, to which its index points."""
    mdat = box(b"mdat", b"".join(PICTURES))
    size = header + len(index_of([0] * len(PICTURES), extra, table))
    starts = [sum(map(len, PICTURES[:number])) for number in range(len(PICTURES))]
    offsets = [len(FTYP) + (size if index_first else 0) + 8 + start for start in starts]
    moov = (box if header == 8 else long_box)(b"moov", index_of(offsets, extra, table))
    return FTYP + (moov + mdat if index_first else mdat + moov)


def rewritten(clip: bytes, texts: dict[bytes, str] = TEXTS) -> bytes:
    index = with_texts(io.BytesIO(clip), len(clip), texts)
    assert index is not None
    assert len(index.content) >= index.end - index.start
    assert index.further == ()
    return clip[: index.start] + index.content + clip[index.end :]


def pictures(clip: bytes, table: bytes = b"stco") -> list[bytes]:
    """Return what the index points to."""
    width, place = 4 if table == b"stco" else 8, clip.index(table) + 12
    ends = range(place, place + width * len(PICTURES) + 1, width)
    offsets = [int.from_bytes(clip[start:end]) for start, end in pairwise(ends)]
    return [clip[offset : offset + len(picture)] for offset, picture in zip(offsets, PICTURES, strict=True)]


@for_each("table", [b"stco", b"co64"])
@for_each("index_first", [True, False])
@for_each("header", [8, 16])
@for_each(
    "extra",
    [
        b"", user_data(b""), user_data(item(TITLE, "old")), user_data(item(COMMENT, "x" * 500) + item(TITLE, "old")),
        user_data(item(b"\xa9too", "an encoder"), tail=bytes(4)), box(b"udta", bytes(4)), box(b"udta"),
        user_data(b"", kind=b"mdta"), box(b"free", bytes(40)),
    ],
)  # fmt: skip
def test_the_index_points_to_the_same_pictures(extra: bytes, header: int, index_first: bool, table: bytes) -> None:
    clip = film(extra, index_first=index_first, table=table, header=header)
    assert pictures(clip, table) == PICTURES
    written = rewritten(clip)
    assert pictures(written, table) == PICTURES
    again = rewritten(written, {TITLE: "another title", COMMENT: ""})
    assert pictures(again, table) == PICTURES
    assert (again.count(TITLE), again.count(COMMENT), again.count(b"old")) == (1, 1, 0)
    assert (b"an encoder" in again) == (b"an encoder" in extra)


def test_texts_of_other_names_are_kept_as_they_are() -> None:
    others = b"".join(item(name, text) for name, text in OTHERS.items())
    assert others + item(TITLE, "waves") + item(COMMENT, "{}") in rewritten(film(user_data(others)))


@for_each(
    "clip",
    [
        b"", b"no film", FTYP, FTYP + box(b"moov"), FTYP + box(b"moov", full(b"trak", 0)), film()[: len(FTYP) + 50],
        film() + film()[len(FTYP) :], film(box(b"cmov")), film(box(b"iloc")), film(box(b"junk", size=3)),
        film(user_data(b"").replace(b"\0\0\0\x21hdlr", b"\0\0\3\x84hdlr")), FTYP + box(b"meta") + film(),
        FTYP + box(b"sidx") + film(), film().replace(b"\0\0\0\3", b"\0\0\0\7"),
    ],
)  # fmt: skip
def test_a_film_that_is_not_as_it_should_be_stays_as_it_came(clip: bytes) -> None:
    assert with_texts(io.BytesIO(clip), len(clip), TEXTS) is None


@for_each("is_signed", [True, False])
@for_each("is_behind", [True, False])
def test_a_film_with_content_credentials_stays_as_it_was_signed(is_behind: bool, is_signed: bool) -> None:
    user_type = bytes.fromhex("d8fec3d6 1b0e 483c 9297 5828877ec481") if is_signed else bytes(16)
    credentials = box(b"uuid", user_type + b"\0\0\0\0manifest\0")
    clip = film() + credentials if is_behind else FTYP + credentials + film()[len(FTYP) :]
    assert (with_texts(io.BytesIO(clip), len(clip), TEXTS) is None) == is_signed


def test_a_film_of_more_pieces_than_are_looked_through_stays_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mp4_boxes, "MAX_BOXES", 20)
    monkeypatch.setattr(mp4_tags, "MAX_BOXES", 20)
    clip = film() + box(b"free") * 30 + box(b"moof")
    assert with_texts(io.BytesIO(clip), len(clip), TEXTS) is None


class _Counted(io.BytesIO):
    """A file that keeps the size of the largest piece that was read of it."""

    largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.largest = max(self.largest, len(piece))
        return piece


def test_of_a_box_without_an_end_no_more_is_read_than_of_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mp4_boxes, "MAX_READ", 300)
    clip = _Counted(film() + bytes(4) + b"uuid" + bytes(5000))
    with_texts(clip, len(clip.getvalue()), TEXTS)
    assert clip.largest <= 300


def test_an_offset_beyond_its_field_leaves_the_film_as_it_came() -> None:
    clip = FTYP + box(b"moov", index_of([2**32 - 1]))
    assert with_texts(io.BytesIO(clip), len(clip), TEXTS) is None


def test_damaged_films_raise_nothing() -> None:
    dice, whole = Random(5), film(user_data(item(TITLE, "old")))
    for _ in range(500):
        clip = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            clip[dice.randrange(len(clip))] = dice.randrange(256)
        with_texts(io.BytesIO(bytes(clip)), len(clip), TEXTS)


def test_the_table_of_fragments_points_to_where_they_are_then() -> None:
    behind = len(film()) + 4
    entry = (7).to_bytes(4) + behind.to_bytes(4) + b"\1\1\1"
    clip = film() + box(b"mfra", box(b"tfra", bytes(12) + (1).to_bytes(4) + entry + b"\xff" * 11))
    index = with_texts(io.BytesIO(clip), len(clip), TEXTS)
    assert index is not None
    grown = len(index.content) - (index.end - index.start)
    assert index.further == ((clip.index(entry) + 4 + grown, (behind + grown).to_bytes(4)),)
