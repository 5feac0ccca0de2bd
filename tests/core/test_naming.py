"""Every job gets a file name that every file system takes, and that is its own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimlvideo.core.jobs.file_names import LONGEST, file_name

RESERVED = ("con", "PRN", "aux", "NUL", "com1", "LPT9")


@pytest.mark.parametrize("name", ["ballerina", "job-0123456789ab", "Scene_01", "a.b-c", "2026-08-01", "x" * LONGEST])
def test_a_safe_id_is_its_own_name(name: str) -> None:
    assert file_name(name) == f"{name}.mp4"
    assert file_name(name, "") == name


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "etc_passwd"),
        ("a/b", "a_b"),
        ("a\\b", "a_b"),
        ("two words", "two_words"),
        ("d7c67219:veed/fabric-1.0", "d7c67219_veed_fabric-1.0"),
        (".hidden", "hidden"),
        ("ends with a dot.", "ends_with_a_dot"),
        ("", "clip"),
        ("..", "clip"),
        ("💃", "clip"),
        ("ballerína", "baller_na"),
        ("half \ud83d", "half"),
        ("line\nbreak\0", "line_break"),
        ("x" * 300, "x" * LONGEST),
        *((name, name) for name in RESERVED),
        *((f"{name}.part2", f"{name}.part2") for name in RESERVED),
    ],
)
def test_another_id_is_mapped_to_a_name_one_can_read_with_a_hash_of_the_id(name: str, kept: str) -> None:
    made = file_name(name)
    assert re.fullmatch(re.escape(kept) + r"-[0-9a-f]{10}\.mp4", made)
    assert made == file_name(name)


def test_ids_that_look_alike_get_names_of_their_own() -> None:
    names = ["a/b", "a_b", "a\\b", "a b", "a:b", "a//b", "/a/b", "a/b/", "a/b.", "x" * 121, "x" * 122, "💃", "🩰", ""]
    assert len({file_name(name).lower() for name in names}) == len(names)


@given(st.text(max_size=300))
def test_no_id_leads_out_of_its_folder_or_to_a_name_that_is_not_allowed(name: str) -> None:
    made = file_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", made)
    assert len(made) < 140
    assert made.split(".", maxsplit=1)[0].lower() not in {one.lower() for one in RESERVED}


@given(st.text(max_size=20), st.text(max_size=20))
def test_two_ids_never_share_a_name(one: str, other: str) -> None:
    assert one == other or file_name(one) != file_name(other)
