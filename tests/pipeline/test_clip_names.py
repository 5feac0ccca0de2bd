"""Two clips never get one name, whoever names them."""

from __future__ import annotations

from typing import Any
from unittest import mock

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.money.budget import Budget
from aimlvideo.pipeline.entry import RunSpec
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.journal.base import Journal
from aimlvideo.shell.task_groups import task_group


async def nothing(*_: Any) -> Any:
    raise AssertionError("nothing is saved here")


async def test_workers_give_ids_that_differ_in_refused_letters_different_names_without_reading_the_list() -> None:
    unreadable = mock.Mock(spec=Journal)
    for read in ("find", "open_jobs", "ended_jobs"):
        getattr(unreadable, read).side_effect = AssertionError("a list of a million jobs would be read")
    async with task_group() as tasks:
        spec = RunSpec(journal=unreadable, save=nothing, is_one_of_many=True)
        one, other = Run(spec, tasks, Budget()), Run(spec, tasks, Budget())
        names = {one.name_of(VideoJob("m", id="a/b")), other.name_of(VideoJob("m", id="a:b"))}
        assert len(names) == 2
        assert one.name_of(VideoJob("m", id="a/b")) in names, "the same each time"
        assert one.name_of(VideoJob("m", id="plain")) == "plain.mp4"
