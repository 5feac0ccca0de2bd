"""The readers of foreign bytes. Only errors of this package may come out, or ValueError where one documents it."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.openapi import read_document
from aimlvideo.core.catalog.refresh import parse_document
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.columns import PROGRESS_COLUMNS, progress_of
from aimlvideo.core.jobs.job import VideoJob, result_of
from aimlvideo.core.services import service_of
from aimlvideo.core.wires.aimlapi import AimlApi
from aimlvideo.core.wires.aimlapi_account import BALANCE, LEDGER, LOG
from aimlvideo.core.wires.aimlapi_models import read_metrics, read_models, read_prices
from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.kling import Kling, read_callback
from aimlvideo.core.wires.webhooks import is_signed
from aimlvideo.errors import Problem, UsageError, VideoError
from aimlvideo.shell.files.job_files import job_lines
from aimlvideo.shell.files.media import Media
from aimlvideo.shell.files.results_file import read_results
from aimlvideo.shell.files.tables import xlsx_of
from aimlvideo.shell.state.catalog_cache import CatalogCache
from aimlvideo.shell.state.learned_durations import LearnedDurations

STATUSES = (200, 201, 302, 400, 401, 403, 404, 429, 500, 503)


def answer_of(data: bytes) -> Answer:
    """Return an answer whose status comes from the first byte."""
    return Answer(STATUSES[data[0] % len(STATUSES)] if data else 200, {"retry-after": repr(data[:5])}, data[1:])


def _wire(wire: Any) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        for reader in (
            lambda: wire.parse_submission(answer_of(data), "av-1"),
            lambda: wire.parse_status(answer_of(data), "g"),
        ):
            with suppress(VideoError):
                json.dumps(repr(reader())).encode()

    return read


def _account(data: bytes) -> None:
    for reader in (LOG.read, LEDGER.read, BALANCE.read):
        with suppress(VideoError):
            reader(answer_of(data))


def _webhook(data: bytes) -> None:
    read_callback(Answer(200, {}, data).json())
    head = data.decode("latin-1")
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    is_signed("whsec_c2VjcmV0", dict.fromkeys(names, head), data, 1e9)


def _document(data: bytes) -> None:
    with suppress(ValueError):
        body = parse_document(data)
        for reader in (read_models, read_metrics, read_prices):
            with suppress(ValueError):
                reader(body)
        read_document("x/new", body)


def _job_file(ending: str) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        with _file(f"jobs{ending}", data) as path, suppress(UsageError), job_lines(str(path), load_catalog()) as lines:
            for _, line in lines:
                if not isinstance(line, Problem) and isinstance(line, Mapping):
                    check(VideoJob(**{"model": "", **line}), load_catalog())

    return read


@lru_cache(maxsize=1)
def _workbook() -> Mapping[str, bytes]:
    """Return the parts of a sound workbook."""
    with ZipFile(io.BytesIO(xlsx_of([["model", "prompt"], ["m", "x"]]))) as parts:
        return {name: parts.read(name) for name in parts.namelist()}


def workbook_with(sheet: bytes) -> bytes:
    """Return a workbook whose one sheet is this."""
    content = io.BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED) as parts:
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


def _journal_row(data: bytes) -> None:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict):
        row = {"stage": "rendering", "polls": 0, **{name: values.get(name) for name in ("file", "files", "video_urls")}}
        with suppress(ValueError, TypeError, RecursionError):  # which the journal says as damage
            result_of(VideoJob("m", id="a"), progress_of([row.get(name) for name in PROGRESS_COLUMNS]))


def _results(data: bytes) -> None:
    with _file("results.jsonl", data) as path:
        list(read_results(path))


def _durations(data: bytes) -> None:
    with _file("knowledge.json", data) as path:
        durations = LearnedDurations.load(path)
        for key in list(durations.keys()):
            durations.policy(key).next_poll(1.0)


def _cached_catalog(data: bytes) -> None:
    with _file("catalog.json", data) as path:
        refreshed = CatalogCache(path.parent).read()
        list(load_catalog(refreshed.models if refreshed else None))


@contextmanager
def _file(name: str, data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        yield path


READERS: dict[str, Callable[[bytes], None]] = {
    "aimlapi": _wire(AimlApi()),
    "kling": _wire(Kling()),
    "account": _account,
    "webhook": _webhook,
    "document": _document,
    "jsonl": _job_file(".jsonl"),
    "json": _job_file(".json"),
    "csv": _job_file(".csv"),
    "xlsx": _job_file(".xlsx"),
    "sheet": _sheet,
    "picture": _picture,
    "journal": _journal_row,
    "results": _results,
    "durations": _durations,
    "catalog": _cached_catalog,
}
"""By the name that `python -m tests.fuzz` takes."""
