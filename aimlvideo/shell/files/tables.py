"""Tables of jobs, as people's spreadsheets have them: CSV in every dialect, DataFrames, and the rows of any other.

A column is a parameter where the row's model has one of that name (or one that the name usually means), in any case and
with blanks. Other columns (notes, category) stay with the people who wrote them: they are never sent.
"""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from functools import cached_property
from typing import Any, BinaryIO

from aimlvideo.core.catalog.aliases import ALIASES, canonical_name, without_accents
from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.formatting import INVISIBLE, pluralize
from aimlvideo.errors import Problem
from aimlvideo.shell.dataframe import is_missing
from aimlvideo.shell.files.cells import NOTHING, CellError, cell_value, refuse_formula
from aimlvideo.shell.files.json_jobs import Line, looks_like_json

Row = list[Any] | Problem


class TableJob(dict[str, Any]):
    """A job that was read from a table; `id_header` is what the table calls its id."""

    id_header = "id"


DELIMITERS = ",;\t|"
ID_NAMES = ("id", "job_id", "name", "clip", "clip_id", "clip_name", "nom", "nombre", "nome", "naam")
"""Headers of the column that names a job, the strongest first."""
MODEL_NAMES = ("model", "model_id", "model_name", "modell", "modele", "modelo", "modello")
AMBIGUOUS_NAME = "nombre"
"""The one header of an id that is another thing in another language: a name in Spanish, a number in French."""
FRENCH = frozenset(("nom", "modele", "texte", "duree", "secondes", "prompt_negatif"))
"""Headers that are French and not Spanish."""
TITLE_ROWS = 10
"""Rows that may stand above the header: a title, a date, a blank line."""
ROW_NUMBERS = ("unnamed:_0", "index", "")
"""Plain headers of the row numbers that pandas writes when it saves a table."""
NEAR = 0.75
"""How much of a header has to be that of a name for a slip of the hand."""
MOST_NAMED = 3
"""Models that a remark names at most."""
PROMPT_HEADERS = ("prompt", "prompts")
_SEPARATOR = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
_RULED = re.compile(r":?-{3,}:?")
"""A cell of the line that Markdown has below the header of a table."""
EXACT = 2**53
"""Below it, every whole number is one of floats, as which workbooks and DataFrames keep numbers."""
LONGEST_CELL = 1 << 28
"""Characters: a picture in Base64 may stand in a cell."""


def _numbered(name: str, reader: Any, skipped: int) -> Iterator[tuple[str, list[Any] | Problem]]:
    """Give each row with the line that it begins in: a cell may hold line breaks."""
    while True:
        where = f"{name}:{reader.line_num + skipped + 1}"
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            hint = "close the quotation mark, and write one inside a cell as two"
            unclosed = "unexpected end of data" in str(error)
            yield (
                where,
                Problem(
                    "", "a cell whose quotation marks are closed" if unclosed else "a row of CSV", str(error), hint
                ),
            )
            return
        yield where, row


def _plain_value(value: Any) -> Any:
    """Return a number of numpy as one of Python, and an array of its as a list."""
    return value.tolist() if hasattr(value, "tolist") and hasattr(value, "shape") else value


@dataclass(slots=True)
class _Columns:
    """The header of a table: each column's name as people wrote it and in its plain form."""

    headers: list[str]
    names: list[str]
    id_column: int | None
    model_column: int | None
    unsent: dict[str, set[str]] = field(default_factory=dict)
    """By header: the models whose rows had something there that the model does not take."""
    repeated: frozenset[int] = frozenset()
    """The columns whose header another one has before them."""
    sent: set[str] = field(default_factory=set)
    """The parameters that columns stand for."""

    def repeats_header(self, cells: Sequence[Any]) -> bool:
        """Tell the header of another table that was put behind this one: nobody wants a clip of the word `prompt`."""
        row = [_plain_name(cell) if isinstance(cell, str) else "-" for cell in cells]
        return any(row) and row[: len(self.names)] == self.names and not any(row[len(self.names) :])

    def no_model(self) -> Problem:
        """Return what is wrong with a row that names no model, and which column may have been meant for it."""
        if self.model_column is not None:
            hint = f"fill in the column {self.headers[self.model_column]!r}, or give --model MODEL"
            return Problem("model", "a model", "none", hint)
        shown = ", ".join(header for header in self.headers if header)
        near = next((header for header in self.headers if _nearest(header, MODEL_NAMES)), "")
        hint = f"did you mean the column {near!r}? Call it `model`" if near else "add a column `model`"
        return Problem("model", "a model", "none", f"{hint}, or give --model MODEL; columns here: {shown[:200]}")


class Table:
    """Reads the rows of a table as jobs; messages call it by its `name`, rows without a model have `default_model`."""

    def __init__(self, name: str, catalog: Catalog, default_model: str = "") -> None:
        self.name = name
        self.default_model = default_model
        self._catalog = catalog

    def csv(self, file: BinaryIO) -> Iterator[Line]:
        """Give the rows of a CSV file in UTF-8; the delimiter is read off its header, or off a first line `sep=;`."""
        csv.field_size_limit(LONGEST_CELL)
        text = io.TextIOWrapper(file, "utf-8", newline="")
        try:
            if looks_like_json(file):
                yield f"{self.name}:1", Problem("", "a table", "JSON", "let the file's name end in .jsonl")
                return
            start, delimiter = self._dialect(text)
            reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True)
            yield from self.jobs(_numbered(self.name, reader, start))
        finally:
            # Closing the wrapper would close the file, which belongs to the caller, and may have been closed by it.
            if not file.closed:
                text.detach()

    def frame(self, frame: Any) -> Iterator[Line]:
        """Give the rows of a DataFrame (pandas, polars): what has `columns` and `to_dict`. NaN means "not given"."""
        # An index with a name is a column of the file that the frame came from, and is one again when it is saved.
        labels = [label for label in getattr(getattr(frame, "index", None), "names", ()) if label is not None]
        if missing := [label for label in labels if label not in frame.columns]:
            frame = frame.reset_index(level=missing)
        header = [str(column) for column in frame.columns]
        if len(set(frame.columns)) < len(header):  # a row's dict has each name once: cells would move
            frame = frame.set_axis(range(len(header)), axis=1)
        records = frame.to_dicts() if hasattr(frame, "to_dicts") else frame.to_dict("records")
        rows = (
            (
                f"{self.name} row {number}",
                [None if is_missing(value) else _plain_value(value) for value in record.values()],
            )
            for number, record in enumerate(records)
        )
        yield from self.jobs(itertools.chain([(self.name, list[Any](header))], rows))

    def jobs(self, rows: Iterable[tuple[str, Row]]) -> Iterator[Line]:
        """Give the job of each row below a header, each with where it stands; what is wrong in one is a Problem."""
        columns: _Columns | None = None
        for where, row in self._from_header(rows):
            if isinstance(row, Problem) and row.warning:
                yield where, row
                continue
            if isinstance(row, Problem):
                yield where, row
                return
            cells: list[Any] = [
                cell if isinstance(cell, list | tuple | dict | bytes) else _as_text(cell) for cell in row
            ]
            if not any(cells):
                continue
            if columns is None:
                columns = _columns(cells)
                # The rows are read all the same: what else is wrong is said in the same pass.
                if twice := _duplicate_header(columns):
                    yield where, twice
                continue
            if columns.repeats_header(cells):
                yield where, Problem("", "the header once", "it again", "left out", warning=True)
                continue
            if all(not cell or _RULED.fullmatch(str(cell)) for cell in cells):
                continue
            yield from ((where, line) for line in self._job(columns, cells))
        if columns is not None:
            yield from (("", remark) for remark in self._remarks(columns))

    def begins(self, head: str) -> bool:
        """Tell a text that is a table, by its first line: a column of prompts and another one, or two known columns."""
        line = next((line for line in head.splitlines() if line.strip()), "")
        if _SEPARATOR.fullmatch(line):
            return True
        for mark in DELIMITERS:
            cells = [cell for cell in line.split(mark) if cell.strip(' "')]
            # Prompts have commas, and words such as "model": what is read as a table by mistake is refused, and what is
            # read as prompts by mistake is bought.
            headers = [cell for cell in cells if self.is_header([cell])]
            has_prompt = any(_plain_name(cell.strip(' "')) in PROMPT_HEADERS for cell in headers)
            if len(cells) > 1 and headers and (mark == "\t" or has_prompt or len(cells) / 2 <= len(headers) > 1):
                return True
        return False

    def is_header(self, cells: Sequence[Any]) -> bool:
        """Tell a header: one of its cells at least is a name that a parameter, an id or a model has."""
        plain = [_plain_name(cell.strip(' "')) for cell in cells if isinstance(cell, str)]
        return any(name in self._names or name.removesuffix("s") in self._names for name in plain)

    @cached_property
    def _names(self) -> frozenset[str]:
        params = (name for model in self._catalog for name in model.params)
        return frozenset((*ID_NAMES, *MODEL_NAMES, *(name for row in ALIASES for name in row), *params))

    def _dialect(self, text: io.TextIOWrapper) -> tuple[int, str]:
        """Return how many lines to skip before the table, and the delimiter; the text stands at the table then.

        The delimiter is that of the header, which may stand below a title.
        """
        skipped = 0
        while True:
            place = text.tell()
            line = text.readline()
            # Excel's own hint for the delimiter; other programs show it as a row.
            if match := _SEPARATOR.fullmatch(line):
                return skipped + 1, match[1]
            if line.strip(DELIMITERS + " \t\r\n") or not line:
                break
            skipped += 1
        below = [line, *itertools.islice(text, TITLE_ROWS)]
        text.seek(place)
        header = next((row for row in below if any(self.is_header(row.split(mark)) for mark in DELIMITERS)), line)
        # A comma inside quotation marks delimits nothing.
        bare = re.sub(r'"[^"]*"', "", header)
        return skipped, max(DELIMITERS, key=bare.count)

    def _from_header(self, rows: Iterable[tuple[str, Row]]) -> Iterator[tuple[str, Row]]:
        """Give the rows from the header on, which may stand below a title; a remark says what is left out."""
        rows = iter(rows)
        first = list(itertools.islice(rows, TITLE_ROWS + 1))
        place = self._place_of_header([row for _, row in first])
        if place is None:
            if filled := next(((where, text) for where, row in first if (text := _title(row))), None):
                hint = "name the columns: model, prompt, image_url, duration and the like"
                yield filled[0], Problem("", "a header that names the columns", repr(filled[1]), hint)
            return
        where, header = first[place]
        titles = [text for _, title in first[:place] if (text := _title(title))]
        if titles and not isinstance(header, Problem):
            yield where, Problem("", "a table that begins with its header", repr(titles[0]), "left out", warning=True)
        yield from itertools.chain(first[place:], rows)

    def _place_of_header(self, rows: Sequence[Row]) -> int | None:
        """Return which row is the header, or one that cannot be read; None where there is none."""
        cells = [
            None if isinstance(row, Problem) else [text for cell in row if (text := _as_text(cell))] for row in rows
        ]
        headers = (index for index, row in enumerate(cells) if row is None or self.is_header(row))
        if (place := next(headers, None)) is None or len(cells[place] or ()) != 1:
            return place
        # One word may be a title, such as "Shots", although a parameter has that name: then the header is below it.
        below = next((index for index in range(place + 1, len(cells)) if cells[index] != []), None)
        row = (None if below is None else cells[below]) or ()
        return below if sum(self.is_header([cell]) for cell in row) > 1 else place

    def _job(self, columns: _Columns, cells: Sequence[Any]) -> Iterator[Mapping[str, Any] | Problem]:
        """Give all that is wrong with a row, and then the job as far as it could be read."""
        # Cells too many mean an unquoted comma in a text: what follows it would be sent as other parameters, and paid.
        extra = [cell for cell in cells[len(columns.names) :] if cell]
        if extra:
            is_workbook = self.name.lower().endswith((".xlsx", ".xlsm"))
            in_text = "put a cell with a comma in it in quotation marks"
            hint = "name the column of what stands beside the table, or empty its cells" if is_workbook else in_text
            expected = f"{pluralize(len(columns.names), 'cell')}, one for each column"
            yield Problem("", expected, f"{len(cells)}", hint)
            return
        filled = _filled(columns, cells)
        if formulas := list(_formulas_for_names(columns, filled)):
            yield from formulas
            return
        job = TableJob()
        if columns.id_column is not None and columns.id_column in filled:
            if _is_ambiguous(columns, str(filled[columns.id_column])):
                header = columns.headers[columns.id_column]
                hint = "call it `name` where it names the clips, or else what it counts"
                yield Problem(header, "a header of one meaning", "a name in Spanish, or a number in French", hint)
            job["id"], job.id_header = filled.pop(columns.id_column), columns.headers[columns.id_column]
        if columns.model_column in filled:
            job["model"] = filled.pop(columns.model_column)
        name = job.get("model") or self.default_model
        model = self._catalog.find(name) or self._catalog.find_unlisted(name)
        if model is None:
            if not name:
                yield columns.no_model()
            job |= {columns.names[index]: cell for index, cell in filled.items() if columns.names[index]}
            yield job
            return
        yield from _with_params(job, columns, filled, model)

    def _remarks(self, columns: _Columns) -> Iterator[Problem]:
        """Say once which columns are not sent, each with the parameter that its name is close to."""
        for header, models in columns.unsent.items():
            # Spreadsheet programs and pandas add a column of row numbers that nobody wants to hear about.
            if _plain_name(header) in ROW_NUMBERS:
                continue
            hint = _meant(header, columns, [read for model in models if (read := self._catalog.find(model))])
            if not hint and columns.id_column is None and header == columns.headers[0]:
                hint = "to name the clips by it, call it `name`"
            yield Problem(
                f"column {header!r}" if header else "a column without a header",
                f"not sent: no parameter of {_named(models)}",
                hint=hint,
                warning=True,
            )


def _with_params(
    job: TableJob, columns: _Columns, filled: Mapping[int, Any], model: Model
) -> Iterator[Mapping[str, Any] | Problem]:
    headers: dict[str, str] = {}
    for index, cell in filled.items():
        header = columns.headers[index]
        param_name = _param(columns.names[index], model)
        if param_name is None:
            columns.unsent.setdefault(header, set()).add(model.id)
            continue
        try:
            value = cell_value(param_name, model.params[param_name], cell)
        except CellError as error:
            yield Problem(param_name, error.expected, repr(str(cell)[:40]), str(error))
            continue
        if value is None:
            continue
        if param_name in job and job[param_name] != value:
            yield Problem(
                header, f"one value: {headers[param_name]} means the same", "two", "leave one of the cells empty"
            )
            continue
        job[param_name], headers[param_name] = value, header
        columns.sent.add(param_name)
    yield job


def _title(row: Row) -> str:
    """Return what stands in a row, shortened; an empty text for a blank row."""
    cells = [] if isinstance(row, Problem) else [text for cell in row if (text := _as_text(cell))]
    return ", ".join(cells)[:60]


def _as_text(cell: Any) -> str:
    """Return a cell as text: a whole number that a spreadsheet keeps as 5.0 is 5, true is `true`."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        # From there on digits are lost: it is refused as a number that a spreadsheet shows shortened.
        return str(int(cell)) if abs(cell) < EXACT else f"{cell:E}"
    # A workbook has no days, only midnights; people see a day, and so does whoever saves it as CSV.
    if isinstance(cell, datetime) and cell.time() == time.min:
        return str(cell.date())
    return str(cell).strip().strip(INVISIBLE).strip()


def _columns(cells: list[Any]) -> _Columns:
    # Spreadsheets save empty columns behind the last one that was ever touched.
    while cells and not cells[-1]:
        cells.pop()
    names = [_plain_name(cell) for cell in cells]
    place = {name: index for index, name in reversed(list(enumerate(names)))}
    return _Columns(
        headers=cells,
        names=names,
        id_column=next((place[name] for name in ID_NAMES if name in place), None),
        model_column=next((place[name] for name in MODEL_NAMES if name in place), None),
        repeated=frozenset(index for index, name in enumerate(names) if name and place[name] < index),
    )


def _plain_name(header: str) -> str:
    visible = re.sub(f"[{INVISIBLE}]", "", header)
    return without_accents(re.sub(r"[\s\-]+", "_", visible.strip().lower()).strip("_"))


def _duplicate_header(columns: _Columns) -> Problem | None:
    twice = [name for name, count in Counter(columns.names).items() if count > 1 and name]
    if not twice:
        return None
    places = [str(index + 1) for index, name in enumerate(columns.names) if name == twice[0]]
    return Problem(
        twice[0], "each column once", f"columns {' and '.join(places)} with this header", "rename or delete one"
    )


def _filled(columns: _Columns, cells: Sequence[Any]) -> dict[int, Any]:
    """Return by column what stands in a row: of an id or a model no word that a program wrote for an empty cell."""
    filled = {index: cell for index, cell in enumerate(cells) if cell and index not in columns.repeated}
    for index in (columns.id_column, columns.model_column):
        if index is not None and str(filled.get(index)) in NOTHING:
            filled.pop(index, None)
    return filled


def _formulas_for_names(columns: _Columns, filled: Mapping[int, Any]) -> Iterator[Problem]:
    """Give a problem for each formula in place of an id or a model."""
    for index in (columns.id_column, columns.model_column):
        if index is not None and index in filled:
            try:
                refuse_formula(str(filled[index]))
            except CellError as error:
                yield Problem(columns.headers[index], error.expected, repr(str(filled[index])[:40]), str(error))


def _is_ambiguous(columns: _Columns, cell: str) -> bool:
    """Tell whether the column of ids may be one of numbers: a clip that is named by a count is nobody's intent."""
    name = columns.names[columns.id_column] if columns.id_column is not None else ""
    return name == AMBIGUOUS_NAME and (cell.isdecimal() or not FRENCH.isdisjoint(columns.names))


def _param(name: str, model: Model) -> str | None:
    if name in model.params:
        return name
    singular = name.removesuffix("s")
    return next(
        (param_name for one in (name, singular) if one and (param_name := canonical_name(one, model.params))), None
    )


def _meant(header: str, columns: _Columns, models: Sequence[Model]) -> str:
    """Return which parameter a header that is none is close to, and what is used without it; else an empty text."""
    words = {name: name for model in models for name in model.params}
    for row in ALIASES:
        words |= {word: row[0] for word in row if row[0] in words and word not in words}
    near = _nearest(header, [word for word, name in words.items() if name not in columns.sent])
    if not near:
        is_name = columns.id_column is None and _nearest(header, ID_NAMES)
        return "did you mean name?" if is_name else ""
    name = words[near]
    defaults = {json.dumps(param.default) for model in models if (param := model.params.get(name))}
    default = defaults.pop() if len(defaults) == 1 else "null"
    return f"did you mean {name}?" + ("" if default == "null" else f" Without it the default is {default}")


def _nearest(header: str, words: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(_plain_name(header), words, 1, NEAR)), "")


def _named(models: Collection[str]) -> str:
    """Name models, no more of them than a person reads."""
    names, others = sorted(models)[:MOST_NAMED], len(models) - MOST_NAMED
    *first, last = [*names, pluralize(others, "more model")] if others > 0 else names
    return f"{', '.join(first)} and {last}" if first else last
