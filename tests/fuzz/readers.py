"""The readers of foreign bytes. Only errors of this package may come out, or ValueError where one documents it."""

from __future__ import annotations

import atexit
import io
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import aiohttp
from yarl import URL

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.openapi import Document, parsed_document
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.columns import PROGRESS_COLUMNS
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.links import data_of_link, resolve_link
from aimlvideo.core.money.pricing import Prices
from aimlvideo.core.money.reconcile import reconcile
from aimlvideo.core.mp4_boxes import is_surely_cut_mp4, is_whole_mp4
from aimlvideo.core.service_clock import ServiceClock, retry_after
from aimlvideo.core.services import service_of
from aimlvideo.core.wires.aimlapi_account import BALANCE, LEDGER, LOG
from aimlvideo.core.wires.aimlapi_models import _read_metrics, _read_models, _read_prices
from aimlvideo.core.wires.expected_fields import oddities
from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.kling import read_callback
from aimlvideo.core.wires.webhooks import WebhookSecret
from aimlvideo.errors import Problem, UsageError, VideoError
from aimlvideo.shell.files.clip_metadata import media_seconds, recipe_in, write_metadata
from aimlvideo.shell.files.job_files import JobFile
from aimlvideo.shell.files.media import Media
from aimlvideo.shell.files.results_file import ResultsFile
from aimlvideo.shell.files.video import frame_jpeg
from aimlvideo.shell.files.workbooks import xlsx_of
from aimlvideo.shell.http.bodies import TooLarge, _decoded, clean_headers
from aimlvideo.shell.http.destinations import Destinations
from aimlvideo.shell.journal.sqlite import SqliteJournal
from aimlvideo.shell.journal.sqlite_file import JournalFile
from aimlvideo.shell.journal.sqlite_reader import read_journal
from aimlvideo.shell.journal.sqlite_transactions import GroupCommit
from aimlvideo.shell.state.catalog_cache import CatalogCache
from aimlvideo.shell.state.learned_durations import LearnedDurations

STATUSES = (200, 201, 302, 400, 401, 403, 404, 429, 500, 503)
SOUND = VideoJob("kling-video/v1.6/standard/text-to-video", id="a", prompt="x", duration=5)
_FOLDERS = ExitStack()
atexit.register(_FOLDERS.close)


def answer_of(data: bytes) -> Answer:
    """Return an answer whose status comes from the first byte."""
    return Answer(STATUSES[data[0] % len(STATUSES)] if data else 200, {"retry-after": repr(data[:5])}, data[1:])


def _service(name: str) -> Callable[[bytes], None]:
    service = service_of(name)
    wire = service.wire(legacy=False, path_of=lambda model: None)

    def read(data: bytes) -> None:
        answer = answer_of(data)
        for reader in (
            lambda: wire.parse_submission(answer, "av-1"),
            lambda: wire.parse_status(answer, "g"),
            lambda: service.helper and service.helper.read(answer),
            lambda: getattr(service.lookup, "tasks", None) and service.lookup.tasks.read(None, answer),
            lambda: service.packs and service.packs.read(answer),
        ):
            with suppress(VideoError):
                json.dumps(repr(reader())).encode()

    return read


def _account(data: bytes) -> None:
    answer = answer_of(data)
    rows, charges = [], []
    with suppress(VideoError):
        rows = LOG.read(answer)
        LOG.has_more(answer)
    with suppress(VideoError):
        charges, _ = LEDGER.read(answer)
    repr(reconcile([], charges, rows))
    with suppress(VideoError):
        f"{BALANCE.read(answer):.2f}"
    service = service_of("aimlapi")
    for question in (service.key, service.deprecations, service.durations, service.prices):
        assert question is not None
        list(map(str, oddities(answer, question.fields)))
        with suppress(VideoError):
            repr(question.read(answer))
    with suppress(VideoError):
        repr(service.key and service.key.read(answer).problem())


def _webhook(data: bytes) -> None:
    read_callback(Answer(200, {}, data).json())
    head = data.decode("latin-1")
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    WebhookSecret("whsec_c2VjcmV0").is_forged(dict.fromkeys(names, head), data, 1e9)


def _headers(data: bytes) -> None:
    """A header's value, as aiohttp gives it, in each place where one is read."""
    text = data.decode("utf-8", "surrogateescape")
    clean = clean_headers({"retry-after": text, "date": text, "age": text[:1], "location": text})
    clean["date"].encode()
    retry_after(clean)
    retry_after({"retry-after": clean["date"], "date": "Thu, 26 Nov 2026 21:00:00 GMT"})
    ServiceClock().observe({"date": clean["date"]}, monotonic=1.0, wall=1.0)
    for encoding in ("", "deflate", text):
        with suppress(TooLarge):
            _decoded(data, encoding)


def _link(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    data_of_link(text)
    destinations = Destinations("https://api.example.com")
    with suppress(ValueError, aiohttp.InvalidURL):
        address = resolve_link(text, "https://api.example.com/v2")
        target = URL(address, encoded=True)
        destinations.check(target)
        assert target.scheme in ("http", "https")


def _document(data: bytes) -> None:
    with suppress(ValueError):
        body = parsed_document(data)
        for reader in (_read_models, _read_metrics):
            with suppress(ValueError):
                repr(reader(body))
        prices = _read_prices(body)
        model = load_catalog().find(SOUND.model)
        assert model is not None
        for pricing in prices.values():
            pricing.quote(model, SOUND.params)
        Prices.of_text(prices.as_text())
        Document(body).catalog_entry("x/new")


def _job_file(ending: str) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        with (
            _file(f"jobs{ending}", data) as path,
            suppress(UsageError),
            JobFile(str(path)).lines(load_catalog()) as lines,
        ):
            for _, line in lines:
                if not isinstance(line, Problem) and isinstance(line, Mapping):
                    job = VideoJob(**{"model": "", **line})
                    list(map(str, check(job, load_catalog()).problems))

    return read


@lru_cache(maxsize=1)
def _workbook() -> Mapping[str, bytes]:
    """Return the parts of a sound workbook."""
    with ZipFile(io.BytesIO(xlsx_of([["model", "prompt"], ["m", "x"]]))) as parts:
        return {name: parts.read(name) for name in parts.namelist()}


def workbook_with(sheet: bytes) -> bytes:
    """Return a workbook whose one sheet is this."""
    content = io.BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED, compresslevel=1) as parts:
        for name, part in _workbook().items():
            parts.writestr(name, sheet if name.endswith("sheet1.xml") else part)
    return content.getvalue()


def _sheet(data: bytes) -> None:
    _job_file(".xlsx")(workbook_with(data))


def _picture(data: bytes) -> None:
    for name in ("aimlapi", "kling"):
        media = Media(None, service_of(name).media)
        with suppress(UsageError):
            media.check(data)
        with suppress(UsageError):
            media.encoded("data:image/png;base64," + data.decode("latin-1"))


def _clip(data: bytes) -> None:
    is_whole_mp4(io.BytesIO(data), len(data))
    is_surely_cut_mp4(io.BytesIO(data), len(data))
    media_seconds(io.BytesIO(data))
    write_metadata(io.BytesIO(data), "a", "{}")
    with _file("clip.mp4", data) as path:
        with suppress(UsageError):
            recipe_in(path)
        frame_jpeg(path, 100)


def _results_of(journal: SqliteJournal) -> None:
    for record in (*journal.open_jobs(), *journal.ended_jobs()):
        json.dumps(Result.of(*record).row())
    journal.counts()
    journal.spent()
    journal.attempts("a")


@lru_cache(maxsize=1)
def _sound_journal() -> bytes:
    """Return the file of a journal of one job."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite3"
        with JournalFile(path).opened_to_write(create=True) as (connection, files):
            journal = SqliteJournal(path, GroupCommit(JournalFile(path), connection, files))
            with journal.planning():
                journal.plan(SOUND)
        return path.read_bytes()


def _journal_row(data: bytes) -> None:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return
    columns = [name for name in ("asked", *PROGRESS_COLUMNS) if isinstance(values, dict) and name in values]
    if not columns:
        return
    parts = (values[name] for name in columns)
    written = [part if isinstance(part, int | float | str | None) else json.dumps(part) for part in parts]
    with _file("journal.sqlite3", _sound_journal()) as path:
        with closing(sqlite3.connect(path)) as connection, suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute(f"UPDATE jobs SET {', '.join(f'{name}=?' for name in columns)}", written)
            connection.commit()
        with suppress(VideoError), read_journal(path) as journal:
            _results_of(journal)


def _journal_file(data: bytes) -> None:
    """Bytes in some place of the file."""
    sound = _sound_journal()
    place = int.from_bytes(data[:2]) % len(sound)
    damaged = sound[:place] + data[2:] + sound[place + len(data[2:]) :]
    with _file("journal.sqlite3", damaged) as path, suppress(VideoError), read_journal(path) as journal:
        _results_of(journal)


def _results(data: bytes) -> None:
    journal = _open_journal()
    with _file("results.jsonl", data) as path, suppress(_NothingStays), journal.planning():
        for row in ResultsFile.read(path):
            with suppress(VideoError):
                journal.recover(row)
        _results_of(journal)
        raise _NothingStays


class _NothingStays(Exception):
    """What was written is taken back."""


@lru_cache(maxsize=1)
def _open_journal() -> SqliteJournal:
    """Return one journal for all inputs: to open one takes longer than to read a hundred."""
    path = Path(_FOLDERS.enter_context(tempfile.TemporaryDirectory())) / "journal.sqlite3"
    connection, files = _FOLDERS.enter_context(JournalFile(path).opened_to_write(create=True))
    return SqliteJournal(path, GroupCommit(JournalFile(path), connection, files))


def _durations(data: bytes) -> None:
    with _file("knowledge.json", data) as path:
        durations = LearnedDurations.load(path)
        for key in list(durations.keys()):
            durations.policy(key).next_poll(1.0)
        durations.save()


def _cached_catalog(data: bytes) -> None:
    with _file("catalog.json", data) as path:
        refreshed = CatalogCache(path.parent).read()
        catalog = load_catalog(refreshed.models if refreshed else None)
        for name in refreshed.models if refreshed else ():
            if name in catalog:
                list(map(str, check(VideoJob(name, prompt="x", duration=5), catalog).problems))


@contextmanager
def _file(name: str, data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        yield path


READERS: dict[str, Callable[[bytes], None]] = {
    "aimlapi": _service("aimlapi"),
    "kling": _service("kling"),
    "kling-official": _service("kling-official"),
    "account": _account,
    "webhook": _webhook,
    "headers": _headers,
    "link": _link,
    "document": _document,
    "jsonl": _job_file(".jsonl"),
    "json": _job_file(".json"),
    "csv": _job_file(".csv"),
    "prompts": _job_file(".txt"),
    "xlsx": _job_file(".xlsx"),
    "sheet": _sheet,
    "picture": _picture,
    "clip": _clip,
    "journal": _journal_row,
    "journal-file": _journal_file,
    "results": _results,
    "durations": _durations,
    "catalog": _cached_catalog,
}
"""By the name that `python -m tests.fuzz` takes."""
