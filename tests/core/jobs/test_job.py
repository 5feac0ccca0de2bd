"""A job's id and content are stable, its progress goes only where it may, its row says what came of it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aimlvideo.core.jobs import stages
from aimlvideo.core.jobs.columns import PROGRESS_COLUMNS
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.request_ids import PREFIX_LENGTH, Intent, are_of_two_jobs, id_prefix
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import ENDED, STAGES, Stage
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import DiskFailed, GenerationFailed, InvalidJobs, LinkDead, Problem, UsageError, VideoError
from tests.cases import for_each
from tests.schemas.strategies import LETTERS


def test_an_id_comes_from_the_content_and_stays_the_same() -> None:
    assert (
        VideoJob("m", prompt="waves", duration=5).id == "job-" + VideoJob("m", duration=5, prompt="waves").digest()[:12]
    )
    assert VideoJob("m", prompt="waves").id == "job-9566bdf016cc"
    assert VideoJob("m", prompt="waves").id != VideoJob("m", prompt="hills").id != VideoJob("n", prompt="hills").id
    assert VideoJob("m", id="").id == VideoJob("m").id
    for known, text in ((7, "7"), (0, "0"), (Fraction(1, 2), "1/2"), (UUID(int=1), f"{UUID(int=1)}")):
        assert VideoJob("m", id=known).id == text  # type: ignore[arg-type]


def test_a_job_knows_whether_somebody_chose_its_id() -> None:
    job = VideoJob("m", prompt="waves")
    assert job.derived
    assert not job.with_id("job-1").derived
    assert not VideoJob("m", id="job-000000000000").derived


def test_a_job_under_another_name_or_folder_asks_for_the_same() -> None:
    job = VideoJob("m", prompt="waves").with_base_folder("/pictures")
    assert job.with_id("b").content() == job.content()
    assert job.with_id("b").folder == job.with_params({"a": 1}).folder == PurePosixPath("/pictures")
    assert job.with_params({"a": 1}).id == job.id
    assert job.with_base_folder(None).folder is None
    assert job == job.with_base_folder("/elsewhere")


def test_a_parameter_may_have_any_name() -> None:
    assert VideoJob("m", **{"self": 1, "params": 2, "folder": 3}).params == {"self": 1, "params": 2, "folder": 3}


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (width, height))


@for_each(
    ("one", "other"),
    [
        (b"a", b"b"),
        (picture(2, 3), picture(3, 2)),
        (picture(3, 1, "L"), picture(1, 1, "RGB")),
        (Path("a.png"), Path("b.png")),
        ({"a", "b"}, {"a"}),
    ],
    ids=["bytes", "pictures", "modes", "paths", "sets"],
)
def test_what_json_does_not_know_stands_in_by_its_content(one: Any, other: Any) -> None:
    assert VideoJob("m", image=one).id == VideoJob("m", image=one).id
    assert VideoJob("m", image=one).id != VideoJob("m", image=other).id


def test_half_a_surrogate_pair_has_an_id_too() -> None:
    assert re.fullmatch("job-[0-9a-f]{12}", VideoJob("m", prompt="\ud83d").id)


# Stages ------------------------------------------------------------------------------------------------------------


@for_each("before", Stage)
@for_each("after", Stage)
def test_a_job_goes_where_the_table_says_and_nowhere_else(before: Stage, after: Stage) -> None:
    if after in STAGES[before]:
        assert Progress(before).to(after, polls=3) == Progress(after, polls=3)
    else:
        with pytest.raises(ValueError, match=f"a job cannot go from {before} to {after}"):
            Progress(before).to(after)


def test_from_every_stage_a_job_can_be_saved_and_from_every_stage_but_saved_it_can_fail() -> None:
    for start in Stage:
        seen, waiting = {start}, deque([start])
        while waiting:
            following = STAGES[waiting.popleft()] - seen
            seen |= following
            waiting.extend(following)
        assert Stage.SAVED in seen
        assert Stage.FAILED in STAGES[start] or start in ENDED


def test_nothing_leads_from_a_doubt_to_a_request_but_by_way_of_a_plan() -> None:
    assert {stage for stage, after in STAGES.items() if Stage.SUBMITTING in after} == {Stage.PLANNED}


def test_the_drawing_shows_every_stage() -> None:
    drawing = (stages.__doc__ or "").replace("in doubt", "in_doubt")
    assert all(stage.value in drawing for stage in Stage)


@pytest.mark.parametrize("error", [LinkDead("x"), DiskFailed("x")])
def test_what_was_paid_is_fetched_again_and_not_bought_again(error: VideoError) -> None:
    again = Progress(Stage.FAILED, generation_id="g", request_id="r", error=error, cost_usd=0.2).for_retry()
    assert (again.stage, again.generation_id, again.error, again.cost_usd) == (Stage.RENDERING, "g", None, 0.2)


@pytest.mark.parametrize("known", [{"error": GenerationFailed("x"), "generation_id": "g"}, {"error": LinkDead("x")}])
def test_what_failed_at_the_service_is_planned_anew(known: dict[str, Any]) -> None:
    assert Progress(Stage.FAILED, **known).for_retry() == Progress(retry_of=known.get("generation_id"))


# Results -----------------------------------------------------------------------------------------------------------

SAVED = Progress(
    Stage.SAVED, "av-1", "g", "https://a/b", None, None, 3, 1.5, 2.0, 3.25, "a.mp4", 7, "0f" * 32
)  # fmt: skip


def test_a_row_says_what_came_of_a_job_and_an_unknown_cost_is_not_zero() -> None:
    row = Result.of(VideoJob("m", id="a"), SAVED, Path("/clips")).row()
    assert row == {
        "id": "a", "model": "m", "stage": "saved", "generation_id": "g", "file": "a.mp4", "bytes": 7,
        "sha256": "0f" * 32, "video_url": "https://a/b", "cost_usd": None, "error": None,
        "submitted_at": "1970-01-01T00:00:01.500Z", "completed_at": "1970-01-01T00:00:02.000Z",
        "saved_at": "1970-01-01T00:00:03.250Z", "polls": 3,
    }  # fmt: skip


def test_a_result_is_a_clip_or_its_error() -> None:
    saved = Result.of(VideoJob("m", id="a"), SAVED, Path("/clips"))
    assert saved.ok
    assert saved.or_raise() is saved
    assert saved.path == Path("/clips/a.mp4")
    assert saved.submitted_at == datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)
    gone = Result.of(VideoJob("m", id="a"), SAVED.to(Stage.READY), Path("/clips"))
    assert gone.path is None
    failed = Result.of(VideoJob("m", id="a"), Progress(Stage.FAILED, error=GenerationFailed("moderated")))
    assert not failed.ok
    with pytest.raises(GenerationFailed, match="moderated"):
        failed.or_raise()


async def test_a_result_saves_its_clip_or_says_why_not() -> None:
    saves = []

    async def save(result: Result, path: Path) -> Path:
        saves.append(result.job.id)
        return path

    ready = Result.of(VideoJob("m", id="a"), Progress(Stage.READY), save=save)
    assert await ready.save("clip.mp4") == Path("clip.mp4")
    with pytest.raises(UsageError, match="clips/ names a folder: expected the clip's file"):
        ready.save("clips/")
    assert saves == ["a"]
    with pytest.raises(VideoError, match="job 'a' has no clip to save: it is planned"):
        Result.of(VideoJob("m", id="a"), Progress()).save("clip.mp4")


# Ids, requests, answers --------------------------------------------------------------------------------------------


@given(st.text(LETTERS, min_size=1), st.text(alphabet="0123456789abcdef", min_size=1, max_size=20))
def test_a_request_id_is_one_that_services_keep_and_leads_back_to_its_job(name: str, token: str) -> None:
    job = VideoJob("m", id=name)
    made = Intent().request_id(job, token)
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", made)
    assert made[:PREFIX_LENGTH] == id_prefix(job)


def test_the_mark_of_a_job_is_its_own_and_no_folder_s_or_other_model_s() -> None:
    job = VideoJob("m", id="a", prompt="x")
    assert id_prefix(job) == id_prefix(job.with_params({"prompt": "y"})) == id_prefix(job.with_base_folder("/b"))
    assert (
        len(
            {
                id_prefix(job),
                id_prefix(job.with_id("b")),
                id_prefix(VideoJob("n", id="a")),
                id_prefix(VideoJob("ma", id="")),
            }
        )
        == 4
    )
    assert id_prefix(VideoJob("m", id="\ud83d"))


def test_two_ids_are_of_one_job_where_all_that_says_whose_they_are_is_the_same() -> None:
    one, again, other = (
        f"av-{whose:012x}-00000000-00000000-0-{token:010x}" for whose, token in ((1, 1), (1, 2), (2, 1))
    )
    assert not are_of_two_jobs(one, again)
    assert are_of_two_jobs(one, other)


@for_each(
    ("body", "told"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a": "\\ud83d"}', {"a": "\N{REPLACEMENT CHARACTER}"}),
        (b'{"a": "\xff"}', {"a": "\N{REPLACEMENT CHARACTER}"}),
        (b'{"a": "\\\\ud83d"}', {"a": "\\ud83d"}),
        (b"", None),
        (b"<html>", None),
        (b"[" * 100_000, None),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_an_answer_s_json_is_what_can_be_written_down_again(body: bytes, told: Any) -> None:
    assert Answer(200, {}, body).json() == told
    json.dumps(told, ensure_ascii=False).encode()


def test_a_request_is_a_value() -> None:
    assert Request("GET", "/x") == Request("GET", "/x", (), None, {})


@pytest.mark.parametrize("five", [5.0, Decimal(5), np.int64(5), np.int32(5), np.float32(5), np.array(5)])
def test_a_number_is_the_same_clip_in_whatever_type_a_program_or_a_dataframe_has_it(five: Any) -> None:
    plain = VideoJob("m", prompt="waves", duration=5, shots=[{"duration": 5}])
    job = VideoJob("m", prompt="waves", duration=five, shots=[{"duration": five}])
    assert (job.id, job.content()) == (plain.id, plain.content())
    again = VideoJob.of_content(job.id, job.content())
    assert again.params == plain.params
    assert again.derived


def test_numbers_that_differ_are_different_clips() -> None:
    numbers = [5, 5.5, Decimal("5.25"), np.float32(0.1), 0.1, np.int64(6), Decimal(2**60 + 1), 2**60, True, "5", None]
    assert len({VideoJob("m", seed=number).id for number in numbers}) == len(numbers)


@pytest.mark.parametrize("odd", [Decimal("NaN"), Decimal("Infinity"), Decimal("1E+999999999"), float("inf")])
def test_a_number_without_an_end_has_a_content_and_hangs_nothing(odd: Any) -> None:
    assert VideoJob("m", seed=odd).content()


def test_a_job_knows_the_id_that_the_first_release_derived_for_it() -> None:
    assert VideoJob("m", prompt="x", duration=5.0).earlier_id == "job-2b168a45c5c1"
    assert VideoJob("m", prompt="x", duration=np.int64(5)).earlier_id == "job-a1fc2dab32ee"
    assert VideoJob("m", prompt="x", duration=5, cfg_scale=0.5, image_list=["a", "b"]).earlier_id is None


def test_a_problem_without_a_place_is_its_words() -> None:
    assert str(Problem("", "it is wrong")) == "it is wrong"
    assert str(Problem("duration", "5 or 10", "7", "try 5", "a", "jobs.jsonl:3")) == (
        "jobs.jsonl:3: job 'a': duration: 5 or 10, got 7 (try 5)"
    )
    assert str(InvalidJobs([Problem("a", "x"), Problem("b", "y")])) == "a: x\nb: y"


def test_the_columns_of_a_journal_are_the_fields_of_a_progress_in_their_order() -> None:
    assert Progress._fields == PROGRESS_COLUMNS


def test_a_result_is_a_dict_and_a_row_of_pandas_without_its_client() -> None:
    class Client:
        def __reduce__(self) -> Any:
            raise AssertionError("a client is not copied")

        def save(self, *_: Any) -> Any: ...

    result = Result.of(VideoJob("m", prompt="waves"), Progress(Stage.READY, video_url="v"), save=Client().save)
    as_dict = dataclasses.asdict(result)
    assert as_dict["job"]["params"] == {"prompt": "waves"}
    assert not [name for name in as_dict if name.startswith("_")]
    assert pandas.DataFrame([result]).loc[0, "video_url"] == "v"


def test_saving_a_clip_that_there_is_none_of_raises_why() -> None:
    def unexpected(*_: Any) -> Any:
        raise AssertionError("nothing is fetched")

    failed = Result.of(VideoJob("m"), Progress(Stage.FAILED, error=GenerationFailed("out of memory")), save=unexpected)
    with pytest.raises(GenerationFailed, match="out of memory"):
        failed.save("clip.mp4")
    with pytest.raises(VideoError, match="no clip to save: it is planned"):
        Result(VideoJob("m"), Stage.PLANNED).save("clip.mp4")
