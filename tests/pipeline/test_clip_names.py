"""Two clips never get one name, whoever names them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.pipeline.clip_names import ClipNames
from aimlvideo.pipeline.run_spec import RunSpec
from aimlvideo.shell.journal.base import Journal
from aimlvideo.shell.journal.memory import InMemoryJournal


async def nothing(*_: Any) -> Any:
    raise AssertionError("nothing is saved here")


def test_workers_give_ids_that_differ_in_refused_letters_different_names_without_reading_the_list() -> None:
    unreadable = mock.Mock(spec=Journal)
    for read in ("find", "open_jobs", "ended_jobs"):
        getattr(unreadable, read).side_effect = AssertionError("a list of a million jobs would be read")
    spec = RunSpec(journal=unreadable, save=nothing)
    one, other = ClipNames(spec), ClipNames(spec)
    names = {one.name_of(VideoJob("m", id="a/b")), other.name_of(VideoJob("m", id="a:b"))}
    assert len(names) == 2
    assert one.name_of(VideoJob("m", id="a/b")) in names, "the same each time"
    assert one.name_of(VideoJob("m", id="plain")) == "plain.mp4"


def test_a_folder_that_takes_short_names_only_gets_such_names_and_each_clip_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pathconf", lambda *_: 143)  # as encrypted shares have it
    made = ClipNames(RunSpec(journal=InMemoryJournal(), save=nothing, folder=tmp_path, ids_under_way=set()))
    names = [made.name_of(VideoJob("m", id="fox " * 30 + str(number))) for number in range(2)]
    assert made.name_of(VideoJob("m", id="fox")) == "fox.mp4"
    assert len(set(names)) == 2
    for name in names:
        assert name.startswith("fox fox")
        assert len(f"{name}-22.mp4.part") <= 143
