"""Every job gets a file name that every file system takes, as near to its id as can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimlvideo.core.jobs.file_names import LONGEST, NameTemplate, file_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.errors import SettingsError
from tests.cases import for_each
from tests.schemas.strategies import LETTERS

RESERVED = ("con", "PRN", "aux", "NUL", "com1", "LPT9", "con.txt")


@for_each(
    "name",
    [
        "ballerina", "job-0123456789ab", "Scene_01", "a.b-c", "two words", "product 01 \u2014 Caf\u00e9",
        "\u590f\u65e5\u4fc3\u9500", "\U0001f483", "__init__", "100%", "it's (final)", "x" * LONGEST,
    ],
)  # fmt: skip
def test_an_id_as_people_write_it_is_its_own_name(name: str) -> None:
    assert file_name(name) == f"{name}.mp4"
    assert file_name(name, "") == name


@for_each(
    ("name", "kept"),
    [
        ("../../etc/passwd", "etc_passwd"),
        ("a/b", "a_b"),
        ("a\\b", "a_b"),
        ("what?", "what"),
        ('say "hi": now', "say _hi_ now"),
        ("d7c67219:veed/fabric-1.0", "d7c67219_veed_fabric-1.0"),
        (".hidden", "hidden"),
        ("ends with a dot.", "ends with a dot"),
        (" blanks around ", "blanks around"),
        ("", "clip"),
        ("..", "clip"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("half \ud83d", "half"),
        ("line\nbreak\0", "line_break"),
        ("gpj.\u202etxt", "gpj._txt"),
        ("x" * 300, "x" * LONGEST),
        ("\u590f" * 100, "\u590f" * (LONGEST // 3)),
        *((name, f"_{name}") for name in RESERVED),
    ],
)
def test_only_what_a_file_system_refuses_is_replaced(name: str, kept: str) -> None:
    assert file_name(name) == f"{kept}.mp4"
    assert file_name(name, "") != name


@given(st.text(LETTERS, max_size=300))
def test_no_id_leads_out_of_its_folder_or_to_a_name_that_is_not_allowed(name: str) -> None:
    for made in (file_name(name), file_name(name, hashed_id=name)):
        assert not set('<>:"/\\|?*\0') & set(made)
        assert len(made.encode()) < 240
        assert made[0] not in " ."
        assert made[-5] not in " ."
        assert made.split(".", maxsplit=1)[0].lower() not in {one.lower() for one in RESERVED}


@given(st.text(LETTERS, max_size=20), st.text(LETTERS, max_size=20))
def test_two_ids_with_a_hash_never_share_a_name(one: str, other: str) -> None:
    assert one == other or file_name(one, hashed_id=one) != file_name(other, hashed_id=other)


@for_each(
    ("template", "name"),
    [
        ("{id} {seed}", "waves 7"),
        ("{model}-{id}", "alibaba/wan-2-6-t2v-waves"),
        ("{id} {missing} end", "waves end"),
        ("{{{id}}}", "{waves}"),
    ],
)
def test_a_template_names_a_clip_by_its_parameters(template: str, name: str) -> None:
    assert NameTemplate(template).name(VideoJob("alibaba/wan-2-6-t2v", id="waves", seed=7)) == name


@for_each("template", ["{id", "id}", "clip"])
def test_a_template_that_cannot_be_read_is_refused(template: str) -> None:
    with pytest.raises(SettingsError, match="name template"):
        NameTemplate(template)
