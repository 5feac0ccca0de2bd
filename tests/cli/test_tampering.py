"""Whatever is changed in the files of a run by another hand: an error of ours at most, and nothing bought twice.

Every column, fact and field is damaged in every way; each damage meets one or two commands, in turn, so that all of
them meet all kinds. `test_damaged_values.py` looks closer at the journal alone.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import hypothesis
import pytest
from typer.testing import CliRunner, Result

from aimlvideo.cli import reconciliation, session
from aimlvideo.cli.app import app
from aimlvideo.cli.commands import recover
from aimlvideo.core.jobs.request_ids import PREFIX_LENGTH
from aimlvideo.core.polling.hazard import AgeHistogram
from tests.conftest import run_in_virtual_time
from tests.fakes import JOB, MODEL, FakeClient, FakeService, quick_downloads

pytestmark = pytest.mark.long

T = TypeVar("T")
RUN = ("run", "jobs.jsonl", "-o", "out", "--poll", "every:15", "--rate", "1000")
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("status", "out"),
    RUN,
    ("report", "out"),
    ("resume", "out", "--poll", "every:15"),
    (*RUN, "--retry-failed", "--max-spend", "50"),
    ("join", "out", "-o", "film.mp4"),
    ("resume", "out", "--verify", "--poll", "every:15"),
    ("reconcile", "out"),
    ("resolve", "out", "rendering", "--not-accepted"),
    ("resolve", "out", "rendering", "--generation", "gen-5"),
    ("adopt", "out", "gen-55"),
    ("uploads", "out"),
    ("wait", "gen-2", "-o", "out", "--poll", "every:15"),
)
JOBS = ("saved", "failed", "rendering", "planned")
DEEP = "[" * 5000
SQL_VALUES: tuple[Any, ...] = (
    None, -1, 0, 2**63 - 1, 1e308, -1e308, float("inf"), "", "text", "\x1b[2J\x07\x00x", b"\xff\xfe", b"", "{", DEEP,
    "[null]", "[]", "{}", '"x"', "0", '["m",{"id":"b"}]', '["m",{"\\ud800":"\\ud800"}]', "planned", "saved",
    "in_doubt", "ready", "rendering", "submitting", "failed", 4e12, "../../x.mp4", "CON", "http://[::1",
    '[["a.mp4",1,"00"],["b.mp4","x",3]]', "[1e400]", "ContentRefused[: x", "BaseException: x", "nan", "1e999",
    json.dumps({MODEL: [{"dollars": "x", "per": "second", "when": {}}]}),
    json.dumps({MODEL: [{"dollars": 1.0, "per": "day", "when": {}}]}), json.dumps(["[]"]), '{"m":{"url":7}}',
)  # fmt: skip
JSON_VALUES: tuple[Any, ...] = (
    None, True, -1, 10**30, 1e308, float("inf"), float("nan"), "", "text", "\x1b[2J\x00", "\ud800", [], {}, ["a", "b"],
    {"a": 1}, [[[]]], "melting", "planned", "in_doubt", "rendering", "../x", "CON.mp4", "2026-01-01",
)  # fmt: skip


@dataclass
class World:
    """A folder with a job at each kind of stage, and its service."""

    service: FakeService
    folder: Path

    def __call__(self, *words: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["aimlvideo", *words])
            return CliRunner().invoke(app, list(words))

    def fresh(self) -> None:
        """Put everything back as it was before the damage."""
        for name in ("out", "homes"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(self.folder / "whole", self.folder / "out")
        for name in list(self.service.accepted)[3:]:
            del self.service.accepted[name]
        del self.service.log[3:]
        self.service.by_request = Counter(row.request_id for row in self.service.log)

    def problems(self, *words: str) -> Iterator[str]:
        """Give what must not come of a command, whatever it met."""
        done = self(*words)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            yield f"{type(done.exception).__name__}: {done.exception!s:.100}"
        if "Traceback" in done.output or "unexpected error" in done.output:
            yield f"a traceback: {done.output[-200:]}"
        if any(letter in done.output for letter in "\x1b\x07\x00"):
            yield "control characters on the terminal"
        bought = Counter(name[:PREFIX_LENGTH] for name in self.service.by_request.elements())
        # What has failed is bought again where that is asked for.
        if "--retry-failed" not in words and max(bought.values()) > 1:
            yield "a job was bought twice"


MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def whole() -> Iterator[World]:
    """Give a run's folder in which one job is saved, one has failed, one is rendering, and one was never sent."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield from _whole(Path(folder))


def _whole(folder: Path) -> Iterator[World]:
    began = 0.0
    service = FakeService(seconds=30, clock=lambda: began + _loop_time())
    with pytest.MonkeyPatch.context() as patch:
        quick_downloads(patch)
        patch.chdir(folder)
        for module in (session, reconciliation, recover):
            patch.setattr(module, "VideoClient", lambda **settings: FakeClient(service, **settings))
        patch.setenv("AIMLAPI_API_KEY", "key-1")
        patch.setenv("AIMLAPI_BASE_URL", "http://127.0.0.1:1")
        patch.setattr(asyncio, "run", run_in_virtual_time)
        world = World(service, folder)
        (folder / "jobs.jsonl").write_text("".join(json.dumps({**JOB, "id": name}) + "\n" for name in JOBS[:3]))
        service.broken["gen-1"] = {"message": "no"}
        assert world(*RUN).exit_code == 1
        began = 1000.0
        with (folder / "jobs.jsonl").open("a") as file:
            file.write(json.dumps({**JOB, "id": "planned"}) + "\n")
        with sqlite3.connect(folder / "out" / "journal.sqlite3") as db:
            db.execute("DELETE FROM facts WHERE name='owner'")
            db.execute(
                "UPDATE jobs SET stage='rendering', video_url=NULL, saved_at=NULL, file=NULL, bytes=NULL, sha256=NULL, "
                "completed_at=NULL, cost_usd=NULL WHERE id='rendering'"
            )
            db.execute(
                "INSERT INTO jobs (id, run, folder, asked, stage, polls) "
                "SELECT 'planned', 1, 1, asked, 'planned', 0 FROM jobs WHERE id='saved'"
            )
            db.execute(
                "INSERT INTO attempts VALUES (1, 'av-2a610eaef8a7-x', 'gen-9', 'ac', 1.7e9, 1.8e9, 'failed', 0, NULL)"
            )
            db.execute("INSERT INTO facts VALUES ('upload:abc', '{\"url\": \"s3://b/p/abc\"}')")
            db.execute("INSERT INTO found VALUES ('av-ffffffffffff', 'gen-77')")
        db.close()
        (folder / "out").rename(folder / "whole")
        yield world


def _loop_time() -> float:
    loop = asyncio._get_running_loop()
    return loop.time() if loop else 0.0


def statements() -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Give each damage of the journal: its name, its statement, the statement's values."""
    tables = {
        "jobs": (
            "id", "run", "folder", "asked", "stage", "request_id", "generation_id", "video_url", "error", "cost_usd",
            "polls", "submitted_at", "completed_at", "saved_at", "file", "bytes", "sha256", "poll_ages", "video_urls",
            "files", "account", "service_time", "cost_units", "status", "status_at", "file_sizes",
        ),
        "attempts": (
            "job", "request_id", "generation_id", "account", "submitted_at", "service_time", "stage", "cost_usd",
        ),
        "folders": ("path",),
        "found": ("mark", "generation_id"),
    }  # fmt: skip
    for number, value in enumerate(SQL_VALUES):
        for table, columns in tables.items():
            for place, column in enumerate(columns):
                job = JOBS[(number + place) % len(JOBS)]
                where, more = (" WHERE id=?", (job,)) if table == "jobs" else ("", ())
                # A job by another name is another job: nothing tells that it was bought once.
                if (table, column) != ("jobs", "id"):
                    yield f"{table}.{column} of {job}", f"UPDATE {table} SET {column}=?{where}", (value, *more)
        for name in ("prices", "earlier_prices", "clock_offset", "run", "service", "naming", "upload", "legacy URLs"):
            yield f"fact {name}", "INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value)


def is_damaged_by(path: Path, statement: str, values: tuple[Any, ...]) -> bool:
    """Damage a journal; False where SQLite itself does not take it."""
    db = sqlite3.connect(path)
    try:
        db.create_function("first_release_file_name", 1, str)
        db.execute("DROP TRIGGER IF EXISTS keep_attempt")
        db.execute(statement, values)
        db.commit()
    except (sqlite3.Error, UnicodeError, OverflowError):
        return False
    finally:
        db.close()
    return True


def sample(damages: Iterable[T]) -> list[tuple[int, T]]:
    """Return each damage with its number; a few of them in the suite, all with --hypothesis-profile=deep."""
    step = 1 if hypothesis.settings().max_examples > 100 else 13
    return list(enumerate(damages))[::step]


def test_no_value_in_a_journal_ends_a_command_with_more_than_our_own_error(whole: World) -> None:
    problems = []
    for number, (name, statement, values) in sample(statements()):
        whole.fresh()
        if is_damaged_by(whole.folder / "out" / "journal.sqlite3", statement, values):
            words = COMMANDS[(number + number // 13) % len(COMMANDS)]
            problems += [f"{name} = {values[0]!r:.40}: {words}: {what}" for what in whole.problems(*words)]
    assert not problems, "\n".join(problems)


def test_no_line_of_results_ends_recovery_with_more_than_our_own_error(whole: World) -> None:
    lines = (whole.folder / "whole" / "results.jsonl").read_text().splitlines()
    fields = [*json.loads(lines[0]), "cost_units", "video_urls", "files"]
    problems = []
    for number, (value, field) in sample(itertools.product(JSON_VALUES, fields)):
        whole.fresh()
        (whole.folder / "out" / "journal.sqlite3").unlink()
        rows = [json.loads(line) for line in lines]
        rows[number // 13 % len(rows)][field] = value
        (whole.folder / "out" / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        words: tuple[tuple[str, ...], ...] = (("recover", "out"), COMMANDS[number // 13 % 3])
        problems += [f"{field} = {value!r:.40}: {one}: {what}" for one in words for what in whole.problems(*one)]
    assert not problems, "\n".join(problems)


def test_what_recovery_refuses_is_named_with_what_to_do(whole: World) -> None:
    whole.fresh()
    (whole.folder / "out" / "journal.sqlite3").unlink()
    (whole.folder / "out" / "results.jsonl").write_text('{"id": "a", "stage": "saved", "polls": "many"}\n')
    refused = whole("recover", "out")
    assert refused.exit_code == 2
    assert "many" in refused.output
    assert "run `recover` again" in refused.output.replace("\n", " ")


def kept_states() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Give each damage of what is kept in the user's own folders: the file, and what stands in it then."""
    durations = {"version": 1, "written": 1.7e9, "models": {MODEL: AgeHistogram().to_state()}}
    catalog = {"models": {MODEL: {}}, "refused": {}, "date": "2026-01-01", "etag": "x"}
    for name, state in (("knowledge.json", durations), ("catalog.json", catalog)):
        for value in JSON_VALUES:
            yield name, lambda value=value: json.dumps(value).encode()
            for field in state:
                yield name, lambda field=field, value=value, state=state: json.dumps({**state, field: value}).encode()
            yield name, lambda value=value, state=state: json.dumps({**state, "models": {MODEL: value}}).encode()
            for part in AgeHistogram().to_state():
                models = {MODEL: {**AgeHistogram().to_state(), part: value}}
                yield name, lambda models=models, state=state: json.dumps({**state, "models": models}).encode()


def test_no_state_in_the_user_s_folders_ends_a_command(whole: World, monkeypatch: pytest.MonkeyPatch) -> None:
    homes = whole.folder / "homes"
    monkeypatch.setenv("XDG_STATE_HOME", str(homes))
    monkeypatch.setenv("XDG_CACHE_HOME", str(homes))
    problems = []
    words: tuple[tuple[str, ...], ...] = (("check", "jobs.jsonl"), ("models", "kling"), (*RUN[:4], "--rate", "1000"))
    for number, (name, content) in sample(kept_states()):
        whole.fresh()
        (homes / "aimlvideo").mkdir(parents=True)
        (homes / "aimlvideo" / name).write_bytes(content())
        one = words[number % 3]
        problems += [f"{name} {content()[:80]!r}: {one}: {what}" for what in whole.problems(*one)]
    assert not problems, "\n".join(problems)
