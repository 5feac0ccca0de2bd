"""Whatever bytes come in, a reader gives what it is for, or an error of this package: never another exception."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.shell.files.tables import Table
from aimlvideo.shell.files.workbooks import MOST_UNPACKED, read_xlsx
from tests.fuzz.__main__ import NAMES
from tests.fuzz.mutation import WORDS as NAMED
from tests.fuzz.mutation import mutated
from tests.fuzz.readers import READERS, workbook_with
from tests.fuzz.seeds import seeds
from tests.schemas.strategies import LETTERS

WORDS = st.sampled_from(NAMED)
PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(LETTERS, max_size=8) | WORDS
    | st.sampled_from(["\ud800", "\x00", 10**400, -1, 1e308, "1e999", "../x"])
)  # fmt: skip
VALUES = st.recursive(
    PLAIN, lambda parts: st.lists(parts, max_size=4) | st.dictionaries(WORDS, parts, max_size=6), max_leaves=24
)


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


CELL = st.builds(
    lambda place, kind, value: f'<c r="{place}" t="{kind}"><v>{value}</v></c>',
    st.sampled_from(["A1", "B2", "A1048576", "XFD1", "XFD1048576", "ZZZZ9", "1", "", "A0", "A-1"]),
    st.sampled_from(["s", "n", "b", "d", "e", "str", "inlineStr", "x", ""]),
    st.sampled_from(["0", "1", "-1", "99999", "1e400", "NaN", "2026-13-45", "2958466", "", "x", "9" * 400]),
)
MERGED = st.sampled_from(["A1:A1048576", "A1:XFD1048576", "A1", "A2:A1", "x:y", ""])
SHEETS = st.builds(
    lambda cells, merged, tail: (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row>'
        f"{''.join(cells)}</row></sheetData><mergeCells>"
        f"{''.join(f'<mergeCell ref={place!r}/>' for place in merged)}</mergeCells>{tail}"
    ).encode(),
    st.lists(CELL, max_size=5),
    st.lists(MERGED, max_size=3),
    st.sampled_from(["</worksheet>", "", "<x/></worksheet>"]),
)
CORPUS = Path(__file__).with_name("corpus")
INPUTS = (
    SHEETS
    | st.binary(max_size=200)
    | VALUES.map(as_bytes)
    | st.builds(lambda first, value: bytes([first]) + as_bytes(value), st.integers(0, 9), VALUES)
    | st.builds(lambda value, cut: as_bytes(value)[:cut], VALUES, st.integers(0, 80))
    | st.sampled_from([b"[" * 5000, b'{"a":' * 5000, b"\xff\xfe", b"\0" * 50, b"1" * 5000, b'{"models": {"a": {}}}'])
)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_broke_a_reader_once_breaks_it_no_more(path: Path) -> None:
    began = time.process_time()
    READERS[path.parent.name](path.read_bytes())
    assert time.process_time() - began < 20


@pytest.mark.parametrize("name", READERS)
@given(data=INPUTS)
def test_a_reader_of_foreign_bytes_raises_nothing_of_its_own(name: str, data: bytes) -> None:
    READERS[name](data)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=2 * settings.default.max_examples)
@given(place=st.integers(0, 9), seed=st.integers(0, 2**32))
def test_sound_input_with_odd_values_in_it_is_an_answer_or_our_own_error(name: str, place: int, seed: int) -> None:
    sound = list(seeds(name)) or [b""]
    READERS[name](mutated(sound[place % len(sound)], 20_000, seed, lambda data, most: data[:most]))


def test_every_reader_can_be_fuzzed_by_hand_and_its_name_is_in_the_help() -> None:
    assert set(NAMES) == set(READERS)


def test_a_workbook_that_unpacks_to_more_than_memory_is_refused_in_words() -> None:
    bomb = workbook_with(b"<worksheet>" + b" " * (MOST_UNPACKED + 1))
    assert len(bomb) < 2**20
    lines = list(read_xlsx(Table("jobs.xlsx", load_catalog()), io.BytesIO(bomb)))
    assert ["it unpacks to 64 MB" in str(problem) for _, problem in lines] == [True]
