"""Job files, read as a stream: JSON lines, a JSON array, CSV, or standard input."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.errors import Problem, SettingsError

Line = tuple[str, Mapping[str, Any] | Problem]
"""Where a job stands (`jobs.jsonl:17`), and the job as it was written, or what is wrong with its line."""


@contextmanager
def job_lines(name: str, catalog: Catalog) -> Iterator[Iterator[Line]]:
    """Give the lines of a job file; `-` is standard input. Raises SettingsError where there is no such file."""
    if name == "-":
        yield _lines("stdin", sys.stdin.buffer)
        return
    path = Path(name)
    readers = {".jsonl": _lines, ".ndjson": _lines, ".json": _array}
    if path.suffix.lower() not in (*readers, ".csv"):
        raise SettingsError(f"{name}: expected a job file that ends in .jsonl, .json or .csv, or - for standard input")
    try:
        file = path.open("rb")
    except OSError as error:
        raise SettingsError(f"{name} cannot be read: {error.strerror}") from error
    with file:
        if path.suffix.lower() == ".csv":
            yield _rows(path.name, file, catalog)
        else:
            yield readers[path.suffix.lower()](path.name, file)


def _lines(name: str, file: BinaryIO) -> Iterator[Line]:
    """Give JSON lines; a file that begins with `[` is one array."""
    blank = 0
    first = b""
    for first in file:
        if first.strip():
            break
        blank += 1
    if first.lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
        yield from _array(name, _Joined(first, file))
        return
    for number, line in enumerate(itertools.chain([first], file), start=blank + 1):
        if line.strip():
            yield f"{name}:{number}", _parsed(line)


def _parsed(line: bytes) -> Mapping[str, Any] | Problem:
    try:
        told = json.loads(line.decode("utf-8-sig"))
    except ValueError as error:
        return Problem("", "a JSON object on one line", f"{line[:40]!r}", str(error))
    except RecursionError:
        return Problem("", "a JSON object on one line", "one that is nested too deep")
    return _as_job(told)


def _as_job(told: Any) -> Mapping[str, Any] | Problem:
    if not isinstance(told, dict):
        got = json.dumps(told, default=str)[:40]
        return Problem("", 'a JSON object such as {"model": "...", "prompt": "..."}', got)
    wrong = next((name for name in ("model", "id") if name in told and not isinstance(told[name], str)), None)
    if wrong:
        return Problem(wrong, "text", json.dumps(told[wrong], default=str)[:40])
    return told


def _array(name: str, file: Any) -> Iterator[Line]:
    events = ijson.parse(file, use_float=True)
    try:
        _, first, _ = next(events, ("", "", None))
        if first != "start_array":
            yield name, Problem("", "a JSON array of jobs: [{...}, {...}]", first.replace("start_map", "one object"))
            return
        for number, told in enumerate(ijson.items(_again(first, events), "item"), start=1):
            yield f"{name}: job {number}", _as_job(told)
    except ijson.JSONError as error:
        yield name, Problem("", "a JSON array of objects", "something else", str(error).split("\n")[0])


def _rows(name: str, file: BinaryIO, catalog: Catalog) -> Iterator[Line]:
    text = (line.decode("utf-8-sig") for line in file)
    reader = csv.DictReader(text, restkey="", strict=True)
    try:
        for row in reader:
            yield f"{name}:{reader.line_num}", _from_row(row, catalog)
    except UnicodeDecodeError as error:
        yield f"{name}:{reader.line_num + 1}", Problem("", "text in UTF-8", repr(error.object[:40]), "save it as UTF-8")
    except csv.Error as error:
        yield f"{name}:{reader.line_num}", Problem("", "a line of CSV", "something else", str(error))


def _from_row(row: Mapping[str, Any], catalog: Catalog) -> Mapping[str, Any] | Problem:
    if "" in row:
        return Problem("", "as many cells as there are columns", f"{len(row[''])} more")
    try:
        return {name: _cell(row, name, text, catalog) for name, text in row.items() if text not in (None, "")}
    except ValueError as error:
        return Problem("", "lists and objects as JSON", "a cell that begins like one", str(error))


def _cell(row: Mapping[str, str], name: str, text: str, catalog: Catalog) -> Any:
    """Return a cell's value: lists and objects are JSON, and `true` is one where the model wants a boolean."""
    if text.lstrip().startswith(("[", "{")) and name not in ("prompt", "negative_prompt", "id"):
        return json.loads(text)
    model = catalog.find(row.get("model") or "")
    param = model.params.get(name) if model else None
    if param is not None and param.type == "boolean" and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    return text


def _again(first: str, events: Iterator[Any]) -> Iterator[Any]:
    """Give the events of a document whose first one was looked at already."""
    yield ("", first, None)
    yield from events


class _Joined:
    """A file whose first line was read already."""

    def __init__(self, first: bytes, rest: Iterable[bytes]) -> None:
        self._chunks = itertools.chain([first], rest)

    def read(self, _: int = -1) -> bytes:
        """Return the next piece; empty at the end."""
        return next(iter(self._chunks), b"")
