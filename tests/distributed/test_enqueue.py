"""What `enqueue` takes: every source that `run` takes, each into the same list."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from typer.testing import CliRunner

from aimlvideo.cli.app import app
from aimlvideo.cli.commands.run import Planner
from aimlvideo.cli.cost_estimate import Tally
from aimlvideo.cli.job_reader import ReaderOptions
from aimlvideo.cli.options import ServiceOptions
from aimlvideo.cli.run_options import RunOptions
from aimlvideo.cli.service_facts import NO_FACTS
from aimlvideo.cli.shared_jobs import Consent, SharedJobs
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.errors import InvalidJobs, UsageError
from aimlvideo.shell.files.job_files import JobFile
from aimlvideo.shell.files.workbooks import xlsx_of
from aimlvideo.shell.journal.base import SERVICE, UPLOAD
from aimlvideo.shell.journal.postgres_sync import NewJobs, open_sync_journal
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.state.catalog_cache import known_catalog
from tests.cli.test_job_sources import write_png
from tests.distributed.test_worker import MODEL, QUIET, job, queue

pytestmark = [pytest.mark.long, pytest.mark.real_time]

TEXT = "alibaba/wan-2-6-t2v"


@pytest.fixture
def enqueue(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, dict[str, Any]]]:
    """Give a command that queues, in a folder of its own, and returns what was planned: parameters by id."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, piped: str | None = None) -> dict[str, dict[str, Any]]:
        environment = {"AIMLVIDEO_DSN": dsn, "AIMLAPI_API_KEY": None, "AIML_API_KEY": None, "AIMLAPI_BASE_URL": None}
        done = CliRunner(env=environment).invoke(app, ["enqueue", *words], input=piped)
        assert done.exit_code == 0, done.output
        with open_sync_journal(dsn) as journal, psycopg.connect(dsn) as db:
            planned = {record.job.id: {"model": record.job.model, **record.job.params} for record in journal.all_jobs()}
            (waiting,) = db.execute("SELECT count(*) FROM pgqueuer WHERE status = 'queued'").fetchone() or (0,)
        assert waiting == len(planned), "each has its place in the queue"
        return planned

    return run


def test_a_table_a_workbook_and_lines_that_are_piped_in_are_queued(
    enqueue: Callable[..., dict[str, dict[str, Any]]], tmp_path: Path
) -> None:
    (tmp_path / "jobs.csv").write_text(f"id,model,prompt,duration\ntable,{TEXT},Waves,5\n")
    assert enqueue("jobs.csv")["table"] == {"model": TEXT, "prompt": "Waves", "duration": "5"}

    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["id", "model", "prompt", "duration"], ["workbook", TEXT, "Wind", 5]):
        book.active.append(row)
    book.save(tmp_path / "jobs.xlsx")
    assert enqueue("jobs.xlsx")["workbook"] == {"model": TEXT, "prompt": "Wind", "duration": "5"}

    planned = enqueue("-", piped=json.dumps(job(0)) + "\n")
    assert planned["job0"]["model"] == MODEL
    assert planned.keys() == {"table", "workbook", "job0"}


def test_prompts_and_a_folder_of_pictures_are_queued_with_a_model(
    enqueue: Callable[..., dict[str, dict[str, Any]]], tmp_path: Path
) -> None:
    (tmp_path / "prompts.txt").write_text("Waves\nWind\n")
    planned = enqueue("prompts.txt", "--model", TEXT, "--set", "duration=5")
    assert sorted((params["model"], params["prompt"], params["duration"]) for params in planned.values()) == [
        (TEXT, "Waves", 5),
        (TEXT, "Wind", 5),
    ]

    (tmp_path / "pictures").mkdir()
    write_png(tmp_path / "pictures" / "first shot.png")
    planned = enqueue("pictures", "--model", MODEL, "--set", "prompt=slow zoom")
    assert planned["first shot"]["prompt"] == "slow zoom"
    assert str(planned["first shot"]["image_url"]).endswith("first shot.png")


def test_a_matrix_is_queued_as_its_variants_and_the_board_knows_it(
    enqueue: Callable[..., dict[str, dict[str, Any]]], dsn: str, tmp_path: Path
) -> None:
    template = {"id": "waves", "model": TEXT, "prompt": "Waves", "matrix": {"duration": [5, 10]}}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(template) + "\n")
    planned = enqueue("jobs.jsonl", "--matrix")
    assert sorted(params["duration"] for params in planned.values()) == [5, 10]
    with open_sync_journal(dsn) as journal:
        assert journal.fact(MATRIX) == "yes"


def test_an_id_that_the_database_cannot_hold_is_refused_with_its_line_and_nothing_is_queued(
    dsn: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidJobs, match=r"jobs\.jsonl:2: .*: id: at most 2,000 bytes"):
        queue(dsn, tmp_path, [job(0), job(1, id="i" * 2001)])
    with open_sync_journal(dsn) as journal:
        assert journal.counts() == {}


def test_with_legacy_the_rules_of_the_older_urls_hold(
    enqueue: Callable[..., dict[str, dict[str, Any]]], dsn: str, tmp_path: Path
) -> None:
    without_prompt = {name: value for name, value in job(1).items() if name != "prompt"}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(without_prompt) + "\n")
    refused = CliRunner().invoke(app, ["enqueue", "jobs.jsonl", "--legacy", "--dsn", dsn])
    assert (refused.exit_code, "prompt" in refused.output) == (2, True)
    assert enqueue("jobs.jsonl").keys() == {"job1"}
    (tmp_path / "complete.jsonl").write_text(json.dumps(job(0)) + "\n")
    assert enqueue("complete.jsonl", "--legacy").keys() == {"job0", "job1"}


ROWS: tuple[tuple[Any, ...], ...] = (
    ("id", "model", "prompt", "seconds", "seed", "enhance prompt", "shot_type", "notes"),
    ("whole", TEXT, "Waves", 5, 7, True, None, "for Anna"),
    ("fraction", TEXT, "1", 10.0, 0, False, "", 2.5),
    (7, TEXT, "Wind", None, None, None, "multi", None),
)


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_table_is_queued_exactly_as_run_plans_it(
    enqueue: Callable[..., dict[str, dict[str, Any]]], tmp_path: Path, ending: str
) -> None:
    name = f"jobs.{ending}"
    if ending == "xlsx":
        pytest.importorskip("openpyxl")
        Path(name).write_bytes(xlsx_of(ROWS))
    else:
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in ROWS]
        Path(name).write_text("\n".join(lines))
    options = RunOptions(output=tmp_path / "out")
    planner = Planner(JobFile(name), ServiceOptions(api_key="k").client_options(), options, QUIET)

    async def planned_by_run() -> dict[str, dict[str, Any]]:
        async with open_journal(tmp_path / JOURNAL) as journal:
            planner.plan(journal, planner.reader(known_catalog()), NO_FACTS)
            return {record.job.id: {"model": record.job.model, **record.job.params} for record in journal.open_jobs()}

    planned = anyio.run(planned_by_run)
    assert enqueue(name) == planned
    assert planned.keys() == {"whole", "fraction", "7"}
    assert "notes" not in planned["whole"]


@pytest.mark.parametrize("piped", [False, True])
def test_a_wrong_file_is_refused_before_the_database_is_called(tmp_path: Path, piped: bool) -> None:
    wrong = json.dumps({"id": "a", "model": TEXT, "prompt": "Waves", "duration": "long"})
    (tmp_path / "jobs.jsonl").write_text(wrong)
    environment = {"AIMLVIDEO_DSN": "postgresql://u@127.0.0.1:9/db", "AIMLAPI_API_KEY": None, "AIMLAPI_BASE_URL": None}
    words = ["enqueue", "-"] if piped else ["enqueue", str(tmp_path / "jobs.jsonl")]
    done = CliRunner(env=environment).invoke(app, words, input=wrong if piped else None)
    assert done.exit_code == 2, done.output
    assert "duration" in done.output


def test_an_id_that_no_index_can_hold_is_a_mistake_in_the_file_and_no_database_that_is_away(
    dsn: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidJobs, match=r"at most 2,000 bytes.*, got 3,000"):
        queue(dsn, tmp_path, [job(0, id="é" * 1500)])
    queue(dsn, tmp_path, [job(0, id="é" * 1000)])


def test_local_files_can_be_forbidden(tmp_path: Path) -> None:
    picture = {"id": "a", "model": MODEL, "prompt": "Waves", "image_url": "a.png"}
    write_png(tmp_path / "a.png")
    (tmp_path / "jobs.jsonl").write_text(json.dumps(picture))
    environment = {"AIMLVIDEO_DSN": "postgresql://u@127.0.0.1:9/db", "AIMLAPI_API_KEY": None, "AIMLAPI_BASE_URL": None}
    words = ["enqueue", str(tmp_path / "jobs.jsonl"), "--no-local-files"]
    done = CliRunner(env=environment).invoke(app, words)
    assert done.exit_code == 2, done.output
    assert "image_url" in done.output


def test_the_service_is_asked_for_nothing_while_a_file_has_mistakes(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_text(json.dumps(job(0)) + "\n" + json.dumps(job(1, duration=7)) + "\n")
    consent = Consent(lambda: pytest.fail("asked"), ServiceOptions(api_key="k").client_options())
    with pytest.raises(InvalidJobs, match="duration"):
        SharedJobs(dsn, QUIET).queue(str(tmp_path / "jobs.jsonl"), ReaderOptions(), retry_failed=False, consent=consent)


class AskedTerminal(Terminal):
    """Says no to every question."""

    def confirm(self, question: str) -> bool:
        return False


def test_jobs_of_unknown_price_are_asked_about_as_before_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    consent, tally = Consent(confirm_above=5.0), Tally(known_catalog())
    consent.ask(NewJobs(2, 4.0, 0, iter(())), tally, NO_FACTS, AskedTerminal())
    for dollars, unpriced in ((4.0, 1), (None, 2), (6.0, 0)):
        with pytest.raises(UsageError, match="nothing was queued"):
            consent.ask(NewJobs(2, dollars, unpriced, iter(())), tally, NO_FACTS, AskedTerminal())
    assert capsys.readouterr().out.splitlines() == [
        "2 new jobs, 4.00 USD",
        "2 new jobs, 4.00 USD, plus 1 job of unknown price",
        "2 new jobs, price unknown",
        "2 new jobs, 6.00 USD",
    ]


def test_a_place_for_uploads_that_is_no_url_is_not_kept_for_the_workers(
    enqueue: Callable[..., dict[str, dict[str, Any]]], dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "jobs.jsonl").write_text(json.dumps(job(0)))
    enqueue("jobs.jsonl")
    refused = CliRunner(env={"AIMLVIDEO_DSN": dsn}).invoke(app, ["enqueue", "jobs.jsonl", "--upload", "foo"])
    assert refused.exit_code == 2
    assert "upload is 'foo': expected s3://bucket/prefix" in refused.output
    with open_sync_journal(dsn) as journal:
        assert not journal.fact(UPLOAD)


def test_of_two_commands_that_begin_a_list_at_once_the_slower_one_is_refused_where_its_service_is_another(
    dsn: str, tmp_path: Path
) -> None:
    class Asked(Consent):
        def ask(self, *_: object) -> None:
            with open_sync_journal(dsn) as faster:
                assert faster.claim(SERVICE, "kling") == "kling"

    (tmp_path / "jobs.jsonl").write_text(json.dumps(job(0)))
    with pytest.raises(UsageError, match="started with service 'kling'"):
        SharedJobs(dsn, QUIET).queue(str(tmp_path / "jobs.jsonl"), ReaderOptions(), retry_failed=False, consent=Asked())
    with open_sync_journal(dsn) as journal:
        assert (journal.fact(SERVICE), journal.counts()) == ("kling", {})
