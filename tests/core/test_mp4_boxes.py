"""Whether a file is whole, by its own boxes."""

from __future__ import annotations

import io
from random import Random

from aimlvideo.core.mp4_boxes import is_surely_cut_mp4, is_whole_mp4
from tests.cases import for_each


def box(kind: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    length = len(content) + 8 if size is None else size
    return length.to_bytes(4) + kind + content


FTYP = box(b"ftyp", b"isom")
MDAT = box(b"mdat", bytes(100))


WHOLE = FTYP + box(b"moov") + MDAT


def long_box(kind: bytes, content: bytes) -> bytes:
    """Return a box with its size in 64 bits."""
    return (1).to_bytes(4) + kind + (len(content) + 16).to_bytes(8) + content


LONG = long_box(b"mdat", bytes(100))


@for_each(
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


@for_each("behind", [b"\n", b"\0\0\0", b"<!-- from the cache -->", bytes(16)])
def test_what_stands_behind_a_whole_clip_and_is_no_box_does_not_make_it_a_cut_one(behind: bytes) -> None:
    film = WHOLE + behind
    assert is_whole_mp4(io.BytesIO(film), len(film)) is None


@for_each("behind", [box(b"uuid", size=50), box(b"mdat", size=50)])
def test_a_box_that_ends_beyond_the_clip_makes_it_a_cut_one(behind: bytes) -> None:
    film = WHOLE + behind
    assert is_whole_mp4(io.BytesIO(film), len(film)) is False


@for_each(
    ("content", "is_cut"),
    [
        (FTYP + box(b"moov") + MDAT, False),
        ((FTYP + box(b"moov") + MDAT)[:-1], True),
        ((FTYP + box(b"moov") + LONG)[:-1], True),
        ((FTYP + MDAT + box(b"moov", b"x"))[:-1], True),
        (FTYP + MDAT, True),
        (FTYP, False),
        (FTYP + box(b"mdat", bytes(9), size=0), True),
        (FTYP + box(b"moov") + box(b"mdat", bytes(9), size=0), False),
        (box(b"styp") + box(b"moof") + MDAT, False),
        (box(b"wide") + MDAT + box(b"moov"), False),
        (FTYP + box(b"moov") + MDAT + bytes(5), False),
        (FTYP + box(b"moov") + MDAT + bytes(50), False),
        (FTYP + b"no box at all, but what begins like a film", False),
        (FTYP + box(b"moov") + box(b"junk", size=500), False),
        (FTYP + box(b"moov") + MDAT + box(b"free", bytes(20), size=500), False),
        (FTYP + box(b"moov", bytes(20), size=500), True),
        (b"\x1a\x45\xdf\xa3" + bytes(50), False),
        (b"GIF89a" + bytes(50), False),
    ],
)
def test_of_a_file_that_came_whole_only_what_no_player_shows_counts_as_cut(content: bytes, is_cut: bool) -> None:
    assert is_surely_cut_mp4(io.BytesIO(content), len(content)) is is_cut


def full(kind: bytes, *words: int, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, bytes([version]) + flags.to_bytes(3) + b"".join(word.to_bytes(4) for word in words))


def index(seconds: int | None, version: int = 0) -> bytes:
    """Return a `moov` of two tracks with 1,000 and 48,000 units a second, and what it announces of its fragments.

    In version 1 the moments of all headers have 64 bits.
    """

    def header(kind: bytes, number: int) -> bytes:
        return full(kind, *[7] * (4 if version else 2), number, 9, 9, version=version)

    tracks = b"".join(
        box(b"trak", header(b"tkhd", number) + box(b"mdia", header(b"mdhd", scale)))
        for number, scale in ((1, 1000), (2, 48_000))
    )
    announced = b"" if seconds is None else full(b"mehd", *[0] * version, seconds * 600, version=version)
    extends = box(b"mvex", announced + full(b"trex", 1, 1, 40, 9, 9) + full(b"trex", 2, 1, 1024, 9, 9))
    return box(b"moov", header(b"mvhd", 600) + tracks + extends)


def fragment(samples: int, *durations: int) -> bytes:
    """Return a second of film (25 samples at 40 units, by default) as a fragment."""
    run = full(b"trun", samples, *durations, flags=0x100 if durations else 0)
    return box(b"moof", full(b"mfhd", 1) + box(b"traf", full(b"tfhd", 1) + run)) + box(b"mdat", bytes(50))


def segment_index(*sizes: int, version: int = 0, offset: int = 0) -> bytes:
    entries = [word for size in sizes for word in (size, 3, 3)]
    moments = (0, 7, 0, offset) if version else (7, offset)
    return full(b"sidx", 1, 1000, *moments, len(sizes), *entries, version=version)


SECOND = fragment(25)
HALVES = fragment(2, 500, 500)
FILMS = {
    "announced": FTYP + index(3) + SECOND + HALVES + SECOND,
    "announced in a long box": FTYP + long_box(b"moov", index(3)[8:]) + SECOND + HALVES + SECOND,
    "announced in 64 bits": FTYP + index(3, version=1) + SECOND + HALVES + SECOND,
    "indexed in 64 bits": FTYP
    + index(None)
    + segment_index(len(SECOND), len(SECOND), version=1, offset=16)
    + box(b"free", bytes(8))
    + SECOND * 2,
    "indexed": FTYP + index(None) + segment_index(len(SECOND), len(SECOND)) + SECOND * 2,
    "with a last box": FTYP + index(None) + SECOND * 2 + box(b"mfra", bytes(16)),
}


def headed(flags: int, *words: int) -> bytes:
    """Return a second of film whose fragment says itself how long its samples last, behind what `flags` announce."""
    head = full(b"tfhd", 1, *words, flags=flags)
    return box(b"moof", full(b"mfhd", 1) + box(b"traf", head + full(b"trun", 10))) + box(b"mdat", bytes(50))


@for_each(
    "second",
    [headed(0x18, 100, 7), headed(0x19, 5, 5, 100, 7), headed(0x1A, 5, 100, 7), headed(0x1B, 5, 5, 5, 100, 7)],
    ids=["alone", "behind where its media begin", "behind its description", "behind both"],
)
def test_a_fragment_may_say_itself_how_long_its_samples_last(second: bytes) -> None:
    film = FTYP + index(3) + second * 3
    assert is_whole_mp4(io.BytesIO(film), len(film)) is True
    assert is_whole_mp4(io.BytesIO(film), len(film) - len(second)) is False


@for_each(
    ("flags", "before", "sample"),
    [
        (0x100, (), (500,)),
        (0x101, (99,), (500,)),
        (0x104, (99,), (500,)),
        (0x105, (99, 99), (500,)),
        (0x301, (99,), (500, 7)),
        (0xF05, (99, 99), (500, 7, 7, 7)),
    ],
)
def test_each_sample_of_a_fragment_may_say_itself_how_long_it_lasts(
    flags: int, before: tuple[int, ...], sample: tuple[int, ...]
) -> None:
    run = full(b"trun", 2, *before, *sample, *sample, flags=flags)
    second = box(b"moof", full(b"mfhd", 1) + box(b"traf", full(b"tfhd", 1) + run)) + box(b"mdat", bytes(50))
    film = FTYP + index(3) + second * 3
    assert is_whole_mp4(io.BytesIO(film), len(film)) is True
    assert is_whole_mp4(io.BytesIO(film), len(film) - len(second)) is False


@for_each("film", FILMS.values(), ids=FILMS)
def test_a_chain_of_fragments_is_whole_only_with_its_last_one(film: bytes) -> None:
    assert is_whole_mp4(io.BytesIO(film), len(film)) is True
    for end in range(len(film)):
        cut = film[:end]
        between_two_fragments = film is FILMS["with a last box"] and end in (
            len(FTYP + index(None)) + len(SECOND) * number for number in (1, 2)
        )
        # Without any announcement nobody can tell that the next fragment is missing.
        allowed = {None} if between_two_fragments or end == 0 else {False}
        assert is_whole_mp4(io.BytesIO(cut), end) in allowed, end


def test_an_index_that_promises_fragments_and_has_none_is_not_whole() -> None:
    film = FTYP + index(3)
    assert is_whole_mp4(io.BytesIO(film), len(film)) is False


@for_each("seed", range(40))
def test_boxes_of_nonsense_are_judged_without_an_error(seed: int) -> None:
    random = Random(seed)
    film = bytearray(FILMS["announced"] + segment_index(5) + SECOND)
    for _ in range(30):
        film[random.randrange(len(film))] = random.randrange(256)
    assert is_whole_mp4(io.BytesIO(bytes(film)), len(film)) in (True, False, None)
