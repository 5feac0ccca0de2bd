"""What `client.run` takes beside jobs: a file's name, a DataFrame, rows with holes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aimlvideo import VideoJob
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.errors import InvalidJobs, Problem
from aimlvideo.pipeline.job_sources import job_of_mapping
from aimlvideo.shell.files.job_files import JobDefaults, JobFile, jobs_of_frame
from tests.fakes import FakeClient, FakeService, quick_downloads, run_all

CATALOG = load_catalog()
TEXT = "alibaba/wan-2-6-t2v"


def test_a_files_name_is_its_jobs_with_paths_beside_it(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text(f"Name;Model;Prompt;Seconds\na;{TEXT};Waves;5\nb;{TEXT};Wind;10\n")
    jobs = list(JobFile(str(tmp_path / "jobs.csv")).jobs(CATALOG))
    assert [(job.id, job.params) for job in jobs] == [
        ("a", {"prompt": "Waves", "duration": "5"}),
        ("b", {"prompt": "Wind", "duration": "10"}),
    ]
    assert jobs[0].folder == tmp_path.resolve()


def test_all_lines_that_are_no_jobs_are_named_before_any_job_is_given(tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_text('{"model": "m", "prompt": "x"}\n5\n{"model": 5}\n')
    with pytest.raises(InvalidJobs) as caught:
        next(JobFile(str(tmp_path / "jobs.jsonl")).jobs(CATALOG))
    assert [problem.where for problem in caught.value.problems] == ["jobs.jsonl:2", "jobs.jsonl:3"]


def test_a_data_frame_is_its_rows_and_nan_is_not_given() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"model": [TEXT, TEXT], "prompt": ["Waves", "Wind"], "duration": [5, float("nan")], "notes": ["x", None]},
    )
    jobs = list(jobs_of_frame(frame, CATALOG))
    assert [job.params for job in jobs] == [{"prompt": "Waves", "duration": "5"}, {"prompt": "Wind"}]


def test_two_columns_of_one_name_in_a_data_frame_are_all_that_is_refused_of_it() -> None:
    pandas = pytest.importorskip("pandas")
    names = ["model", "notes", "notes", "prompt", "duration"]
    frame = pandas.DataFrame([[TEXT, "for Ann", "again", "Waves", 5]], columns=names)
    with pytest.raises(InvalidJobs) as caught:
        list(jobs_of_frame(frame, CATALOG))
    assert [str(problem) for problem in caught.value.problems] == [
        "frame: notes: each column once, got columns 2 and 3 with this header (rename or delete one)"
    ]


def test_lists_in_a_data_frame_stay_lists() -> None:
    pandas = pytest.importorskip("pandas")
    model = "kling-video/v1.6/standard/multi-image-to-video"
    frame = pandas.DataFrame({"model": [model], "image_list": [["a.png", "b.png"]]})
    assert next(jobs_of_frame(frame, CATALOG)).params == {"image_list": ["a.png", "b.png"]}


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_none_and_nan_in_a_mapping_mean_not_given(nothing: object) -> None:
    assert job_of_mapping({"model": TEXT, "prompt": "Waves", "seed": nothing, "id": nothing}).params == {
        "prompt": "Waves"
    }


WORDS = [f"Prompt {number}: a fox, a “boat”, and 50 % more; slowly" for number in range(30)]
COLLECTIONS: dict[str, tuple[str, str, int]] = {
    "one prompt a line": ("prompts.txt", "\n".join(WORDS), 30),
    "a JSON list": ("prompts.json", json.dumps(WORDS), 30),
    "a CSV with a category column": (
        "prompts.csv", "category,prompt\n" + "".join(f'animals,"{text}"\n' for text in WORDS), 30
    ),
    "ids with blanks": (
        "prompts.jsonl",
        "".join(json.dumps({"id": f"shot {n} (take 1)", "prompt": text}) + "\n" for n, text in enumerate(WORDS)), 30,
    ),
    "900 lines": ("prompts.txt", "\n".join(f"{text} {n}" for n in range(30) for text in WORDS), 900),
}  # fmt: skip


@pytest.mark.parametrize("name", [*[*COLLECTIONS][:-1], pytest.param("900 lines", marks=pytest.mark.long)])
async def test_a_collection_of_prompts_ends_saved_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file, content, count = COLLECTIONS[name]
    (tmp_path / file).write_text(content)
    quick_downloads(monkeypatch)
    monkeypatch.setattr(
        "os.fdatasync", lambda _: None, raising=False
    )  # whether a power cut is survived is tested elsewhere
    service = FakeService(seconds=5)
    defaults = JobDefaults(TEXT, {"duration": 5})
    with JobFile(str(tmp_path / file)).lines(CATALOG, defaults) as lines:
        jobs = [line for _, line in lines if not isinstance(line, Problem)]
    async with FakeClient(service, max_outstanding=100) as client:
        results = await run_all(client, jobs, output=tmp_path / "clips")
    assert [result.error for result in results.values() if result.error] == []
    assert len(results) == len({body["prompt"] for body in service.bodies}) == count
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == count
    assert not any("category" in body for body in service.bodies)


async def test_the_id_of_a_job_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out, digest = list[VideoJob](), VideoJob.digest
    monkeypatch.setattr(VideoJob, "digest", lambda job: worked_out.append(job) or digest(job))
    async with FakeClient(FakeService()) as client:
        results = await run_all(client, [{"model": TEXT, "prompt": "Waves"}])
    assert [result.job.derived for result in results.values()] == [True]
    assert len(worked_out) == 2, "once as it is read, and once by this test: all of a job may be 100 MB"
