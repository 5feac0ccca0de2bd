"""Jobs in JSON, as people write them: a job a line, one array, an object around either, comments, slips of the hand."""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO

import ijson
from ijson.common import ObjectBuilder

from aimlvideo.core.jobs.job import DEEPEST, TOO_DEEP, is_too_deep
from aimlvideo.core.jobs.problems import NUMBER, WRITABLE
from aimlvideo.errors import Problem

Line = tuple[str, Mapping[str, Any] | Problem]
"""Where a line of a job file stands, and the fields of its job, or what is wrong with it."""
SNIFFED = 65536
"""Bytes that decide what a text, or an unnamed stream, is, and what is wrong with it."""


def looks_like_json(file: BinaryIO) -> bool:
    """Tell from its first line whether a text is JSON; the file stays where it is."""
    place = file.tell()
    line = next((line for line in iter(partial(file.readline, SNIFFED), b"") if line.strip()), b"").strip()
    file.seek(place)
    if line in (b"[", b"{", b"[{"):
        return True
    # A prompt may begin with a bracket too: "[wide shot] Waves".
    if not line.startswith((b"{", b"[")):
        return False
    try:
        return isinstance(json.loads(line.removesuffix(b",")), dict | list)
    except ValueError:
        return line.startswith((b'{"', b'[{"'))
    except RecursionError:
        return True


def read_json_lines(name: str, file: BinaryIO) -> Iterator[Line]:
    """Give JSON lines; a file that begins with `[` is one array."""
    start, blank, first, lines = file.tell(), 0, b"", _lines(file)
    for first in lines:
        if first.strip():
            break
        blank += 1
    if first.lstrip().startswith(b"[") or first.strip() == b"{":  # an array, or objects over several lines
        file.seek(start)
        yield from read_json(name, file)
        return
    if (wrong_form := _wrong_form(file, start)) is not None:
        yield f"{name}:{blank + 1}", replace(wrong_form, expected="a JSON object on each line")
        return
    for number, whole in enumerate(itertools.chain([first], lines), start=blank + 1):
        line = whole.removeprefix(codecs.BOM_UTF8)  # a second file, behind the first, began with it
        if line.strip() and not line.lstrip().startswith((b"#", b"//")):  # a comment, as `init` writes them
            yield f"{name}:{number}", _parsed(line)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Give a text's lines, also with the line ends of old Macintosh programs, which stand in no JSON but as blanks."""
    return itertools.chain.from_iterable(map(bytes.splitlines, file))


def _wrong_form(file: BinaryIO, start: int) -> Problem | None:
    """Return what is wrong with a text that is no JSON from its first lines on; the file stays where it is."""
    place = file.tell()
    file.seek(start)
    lines = list(itertools.islice((line.strip() for line in _lines(file) if line.strip()), 2))
    file.seek(place)
    # Other lines begin with what JSON or a slip of the hand begins with; each is looked at on its own.
    if not lines or not all(line[:1].isalpha() and line not in _JSON_WORDS for line in lines):
        return None
    hint = "a table's name ends in .csv, that of a list of prompts in .txt"
    return Problem("", "JSON", repr(lines[0][:40].decode(errors="replace")), hint)


_JSON_WORDS = (b"null", b"true", b"false")


def _parsed(line: bytes) -> Mapping[str, Any] | Problem:
    try:
        # A comma at a line's end is what is left of a JSON array that was cut into lines.
        value = json.loads(line.decode().rstrip().removesuffix(","))
    except ValueError as error:
        if number := _LONG_NUMBER.search(line):
            return _too_large(number[1].decode(errors="replace"))
        return Problem(
            "", "a JSON object on one line", repr(line[:40].decode(errors="replace").strip()), _json_hint(line, error)
        )
    except RecursionError:
        return _too_deep()
    # Looked for only where there may be one: to look into every line takes a quarter of the time of reading it.
    if isinstance(value, dict) and line.count(b'":') > len(value) and (name := _repeated_name(line)) is not None:
        return _twice(name)
    return _as_job(value)


def _repeated_name(line: bytes) -> str | None:
    """Return a name that an object of a line has twice: which of the two values is meant, nobody can tell."""
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in pairs:
            if name in values:
                repeated.append(name)
            values[name] = value
        return values

    json.loads(line.decode().rstrip().removesuffix(","), object_pairs_hook=note)
    return repeated[0] if repeated else None


def _json_hint(line: bytes, error: ValueError) -> str:
    """Return what to do about a line that is no JSON."""
    # Counted, as an apostrophe in a prompt says nothing.
    if b"'" in line and line.count(b"'") > line.count(b'"'):
        return "JSON has double quotation marks: \"model\", not 'model'"
    if "“".encode() in line or "”".encode() in line:
        return 'JSON has straight quotation marks: "model", not “model”'
    if re.search(rb",\s*[}\]]", line):
        return "leave out the comma before } or ]"
    if re.search(rb"(?<!:)//|/\*", line):
        return "JSON has no comments: remove them"
    if re.search(rb"\b(True|False|None|NaN)\b", line):
        return "JSON has true, false and null"
    return str(error)


def _as_job(value: Any) -> Mapping[str, Any] | Problem:
    """Return a line's value where it can be a job (a text is a prompt), else what is wrong with it."""
    if isinstance(value, str) and value.strip():
        return {"prompt": value.strip()}
    if not isinstance(value, Mapping):
        got = json.dumps(value, default=str)[:40]
        return Problem("", 'a JSON object such as {"model": "...", "prompt": "..."}', got)
    # Before anything walks the value: Python's own recursion limit would end the process with a traceback.
    if is_too_deep(value):
        return _too_deep()
    wrong = next(
        (name for name in ("model", "id") if value.get(name) is not None and not isinstance(value[name], str)), None
    )
    if wrong:
        return Problem(wrong, "text", json.dumps(value[wrong], default=str)[:40])
    return value


_LONG_NUMBER = re.compile(rb"\"([^\"\\]*)\"\s*:[\s\[]*-?\d{4000}")
"""A number that Python does not read, behind the name of its field."""


def _too_large(field: str) -> Problem:
    return Problem(field, NUMBER, "a larger one")


def _too_deep() -> Problem:
    return replace(TOO_DEEP, field="")


class _TooDeep(Exception):
    """A document is nested deeper than any job."""


class _HalfPair(Exception):
    """A document has half a surrogate pair in a text."""


_HALF = re.compile(
    rb"\\(?<!\\\\)(?:\\\\)*(?:u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\)u[dD][c-fC-F])"
)
"""Half a surrogate pair as JSON escapes it: the first without the second, or the second without the first.

It begins with a backslash itself: the search goes from one to the next, a hundred times as fast as from byte to byte.
"""
LONGEST_PAIR = 12
"""Bytes of a pair that is escaped."""


class _WholePairs:
    """A document without half surrogate pairs in its texts: the parser reads `?` there, and that would be bought."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._end = file, b""

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        text = self._end + chunk
        if b"\\u" in text:
            ends = [match.end() for match in _HALF.finditer(text)]
            # At its beginning a half may stand whose other one was in the chunk before, where both were looked at; at
            # its end one whose other half comes with the next.
            if any(
                (end > LONGEST_PAIR or not self._end) and not b"\\ud".startswith(text[end : end + 4].lower())
                for end in ends
            ):
                raise _HalfPair
        self._end = text[-3 * LONGEST_PAIR :]
        return chunk


class _TooLarge(Exception):
    """A document has a number that its parser does not hold; the text names its field."""


class _Repeated(Exception):
    """An object of a document has a name twice."""


def _twice(name: str) -> Problem:
    return Problem(name, "each name once in a job", "it twice", "leave one of the two out")


def read_json(name: str, file: BinaryIO) -> Iterator[Line]:
    """Give the jobs of a JSON array, read as a stream; one object is one job."""
    number = 0
    if (wrong_form := _wrong_form(file, file.tell())) is not None:
        yield name, replace(wrong_form, expected="a JSON array of jobs: [{...}, {...}]")
        return
    try:
        for number, value in enumerate(_unwrapped(_items(_WholePairs(file))), start=1):
            yield f"{name}: job {number}", _as_job(value)
    except _TooDeep:
        yield f"{name}: job {number + 1}", _too_deep()
    except _HalfPair:
        yield name, Problem("", WRITABLE, "half a pair")
    except _Repeated as error:
        yield f"{name}: job {number + 1}", _twice(str(error))
    except _TooLarge as error:
        yield f"{name}: job {number + 1}", _too_large(str(error))
    except ijson.JSONError as error:
        file.seek(0)
        beginning = file.read(SNIFFED)
        if not beginning.strip(codecs.BOM_UTF8 + b" \t\r\n"):
            return
        reason = _json_hint(beginning, ValueError(str(error).split("\n")[0]))
        yield f"{name}: job {number + 1}", Problem("", "a JSON array of jobs: [{...}, {...}]", "something else", reason)


def _unwrapped(values: Iterator[Any]) -> Iterator[Any]:
    """Give the jobs of values; an object around them is opened: `{"jobs": [...]}`, or one of jobs by their ids."""
    for value in values:
        inner = list(value.values()) if isinstance(value, Mapping) and not {"model", "prompt"} & value.keys() else []
        if len(inner) == 1 and isinstance(inner[0], list) and all(isinstance(one, Mapping | str) for one in inner[0]):
            yield from inner[0]
        elif inner and all(isinstance(one, Mapping) and {"model", "prompt"} & one.keys() for one in inner):
            yield from ({"id": key, **one} for key, one in value.items())
        else:
            yield value


def _events(file: _WholePairs) -> Iterator[tuple[str, Any]]:
    """Give what a document is made of, one after the other. Raises ijson.JSONError, and _TooLarge."""
    name = ""
    try:
        for event, value in ijson.basic_parse(file, use_float=True, multiple_values=True):
            if event == "map_key":
                name = value
            yield event, value
    except ijson.JSONError as error:
        if "overflow" in str(error):
            raise _TooLarge(name) from error
        raise


def _items(file: _WholePairs) -> Iterator[Any]:
    """Give the values of an array, or the one value that a document is, as they are read.

    `ijson.items` would do the same, but names each event by its whole path: a hundred thousand brackets take gigabytes.
    """
    depth, array, builder = 0, False, None
    names: list[set[str]] = []
    for number, (event, value) in enumerate(_events(file)):
        depth -= event in ("end_map", "end_array")
        if number == 0 and event == "start_array":
            array, depth = True, 1
            continue
        if depth == 0 and array:
            return
        builder = builder or ObjectBuilder()
        builder.event(event, value)
        if event == "start_map":
            names.append(set())
        elif event == "end_map":
            names.pop()
        elif event == "map_key":
            if value in names[-1]:
                raise _Repeated(value)
            names[-1].add(value)
        depth += event in ("start_map", "start_array")
        # Refused while it is read: to build it first would exhaust the stack.
        if depth > DEEPEST + 1:
            raise _TooDeep
        if depth == array and event != "map_key":
            yield builder.value
            builder = None
