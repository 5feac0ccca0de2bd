"""Tables of jobs, as people's spreadsheets have them: CSV in every dialect, and Excel workbooks.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from aimlvideo.core.catalog.aliases import canonical_name
from aimlvideo.core.catalog.catalog import Catalog, Model, Param
from aimlvideo.errors import Problem, SettingsError

Line = tuple[str, Mapping[str, Any] | Problem]

DELIMITERS = ",;\t|"
ID_NAMES = ("id", "job_id", "name", "clip", "clip_id")
"""Headers of the column that names a job, the strongest first."""
MODEL_NAMES = ("model", "model_id", "model_name")
YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
LONGEST_CELL = 1 << 28
"""Characters: a picture in Base64 may stand in a cell."""


def read_csv(name: str, file: BinaryIO, catalog: Catalog, default_model: str) -> Iterator[Line]:
    """Give the rows of a CSV file in UTF-8; the delimiter is read off its header, or off a first line `sep=;`."""
    csv.field_size_limit(LONGEST_CELL)
    text = io.TextIOWrapper(file, "utf-8", newline="")
    try:
        start, delimiter = _dialect(text)
        reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True)
        yield from _jobs(_numbered(name, reader, start), catalog, default_model)
    finally:
        text.detach()


def _dialect(text: io.TextIOWrapper) -> tuple[int, str]:
    """Return how many lines to skip before the header, and the delimiter; the text stands at the header then."""
    skipped = 0
    while True:
        place = text.tell()
        line = text.readline()
        if match := re.fullmatch(r"\s*\"?sep=(.)\"?\s*", line, re.IGNORECASE):
            return skipped + 1, match[1]
        if line.strip(DELIMITERS + " \t\r\n") or not line:
            break
        skipped += 1
    text.seek(place)
    bare = re.sub(r'"[^"]*"', "", line)
    return skipped, max(DELIMITERS, key=bare.count)


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


def read_frame(name: str, frame: Any, catalog: Catalog) -> Iterator[Line]:
    """Give the rows of a DataFrame (pandas, polars): anything with `columns` and `to_dict`. NaN means "not given"."""
    records = frame.to_dicts() if hasattr(frame, "to_dicts") else frame.to_dict("records")
    header = [str(column) for column in frame.columns]
    rows = (
        (f"{name} row {number}", [None if is_missing(value) else _plain_value(value) for value in record.values()])
        for number, record in enumerate(records)
    )
    yield from _jobs(itertools.chain([(name, list[Any](header))], rows), catalog, "")


def is_missing(value: Any) -> bool:
    """Tell None, NaN, NaT and NA, whatever library they are of: nothing else differs from itself."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value  # noqa: PLR0124 - this is what NaN is


def _plain_value(value: Any) -> Any:
    """Return a number of numpy as one of Python."""
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value


def read_xlsx(name: str, file: BinaryIO, catalog: Catalog, default_model: str) -> Iterator[Line]:
    """Give the rows of a workbook's first sheet. Raises SettingsError where the extra `xlsx` is not installed."""
    try:
        from openpyxl import load_workbook  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError(f"{name}: to read Excel files, pip install 'aimlvideo[xlsx]', or save it as CSV") from None
    try:
        book = load_workbook(file, read_only=True, data_only=True)
    except Exception as error:
        yield name, Problem("", "an Excel workbook (.xlsx)", "something else", str(error) or type(error).__name__)
        return
    sheet = book.worksheets[0]
    rows = ((f"{name}:{number}", list(row)) for number, row in enumerate(sheet.iter_rows(values_only=True), start=1))
    yield from _jobs(rows, catalog, default_model)


# --- rows to jobs


@dataclass(slots=True)
class _Columns:
    """The header of a table: each column's name as people wrote it and in its plain form."""

    headers: list[str]
    names: list[str]
    id_column: int | None
    model_column: int | None
    unsent: dict[str, set[str]] = field(default_factory=dict)
    """By header: the models whose rows had something there that the model does not take."""


def _jobs(rows: Iterable[tuple[str, list[Any] | Problem]], catalog: Catalog, default_model: str) -> Iterator[Line]:
    columns: _Columns | None = None
    for where, row in rows:
        if isinstance(row, Problem):
            yield where, row
            return
        cells: list[Any] = [cell if isinstance(cell, list | tuple | dict) else _as_text(cell) for cell in row]
        if not any(cells):
            continue
        if columns is None:
            columns = _columns(cells)
            if twice := _duplicate_header(columns):
                yield where, twice
                return
            continue
        yield where, _job(columns, cells, catalog, default_model)
    if columns is not None:
        yield from (("", remark) for remark in _remarks(columns, catalog))


def _as_text(cell: Any) -> str:
    """Return a cell as text: a whole number that a spreadsheet keeps as 5.0 is 5, true is `true`."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _columns(cells: list[Any]) -> _Columns:
    while cells and not cells[-1]:
        cells.pop()
    names = [_plain_name(cell) for cell in cells]
    place = {name: index for index, name in reversed(list(enumerate(names)))}
    return _Columns(
        headers=cells,
        names=names,
        id_column=next((place[name] for name in ID_NAMES if name in place), None),
        model_column=next((place[name] for name in MODEL_NAMES if name in place), None),
    )


def _plain_name(header: str) -> str:
    return re.sub(r"[\s\-]+", "_", header.strip().lower()).strip("_")


def _duplicate_header(columns: _Columns) -> Problem | None:
    twice = [name for name, count in Counter(columns.names).items() if count > 1 and name]
    if not twice:
        return None
    places = [str(index + 1) for index, name in enumerate(columns.names) if name == twice[0]]
    return Problem(
        twice[0], "each column once", f"columns {' and '.join(places)} with this header", "rename or delete one"
    )


def _job(columns: _Columns, cells: Sequence[Any], catalog: Catalog, default_model: str) -> Mapping[str, Any] | Problem:
    extra = [cell for cell in cells[len(columns.names) :] if cell]
    if extra:
        hint = "put a cell with a comma in it in quotation marks"
        return Problem("", f"{len(columns.names)} cells, one for each column", f"{len(cells)}", hint)
    filled = {index: cell for index, cell in enumerate(cells) if cell}
    job: dict[str, Any] = {}
    if columns.id_column in filled:
        job["id"] = filled.pop(columns.id_column)
    if columns.model_column in filled:
        job["model"] = filled.pop(columns.model_column)
    name = job.get("model") or default_model
    model = catalog.find(name) or catalog.find_unlisted(name)
    if model is None:
        missing = Problem("model", "a model", "none", "add a column `model`, or give --model MODEL")
        return (
            {**job, **{columns.names[i]: cell for i, cell in filled.items() if columns.names[i]}} if name else missing
        )
    return _with_params(job, columns, filled, model)


def _with_params(
    job: dict[str, Any], columns: _Columns, filled: Mapping[int, Any], model: Model
) -> Mapping[str, Any] | Problem:
    headers: dict[str, str] = {}
    for index, cell in filled.items():
        header = columns.headers[index]
        param_name = _param(columns.names[index], model)
        if param_name is None:
            columns.unsent.setdefault(header, set()).add(model.id)
            continue
        try:
            value = cell_value(model.params[param_name], cell)
        except ValueError as error:
            return Problem(param_name, "a list or object as JSON", repr(str(cell)[:40]), str(error))
        if param_name in job and job[param_name] != value:
            return Problem(
                header, f"one value: {headers[param_name]} means the same", "two", "leave one of the cells empty"
            )
        job[param_name], headers[param_name] = value, header
    return job


def _param(name: str, model: Model) -> str | None:
    if name in model.params:
        return name
    return canonical_name(name, model.params) if name else None


def cell_value(param: Param, text: Any) -> Any:
    """Return what a cell means for a parameter: `yes` is true, `a.png; b.png` two items, `{...}` and `[...]` JSON.

    Raises ValueError where a cell that begins like JSON is none.
    """
    if not isinstance(text, str):
        return text  # a list or object of a DataFrame
    forms = param.any_of or (param,)
    if param.type == "boolean" and text.lower() in (*YES, *NO):
        return text.lower() in YES
    takes_text = any(form.type == "string" and form.media is None for form in forms)
    if text.startswith(("[", "{")) and not takes_text:
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("nested too deep") from None
    lists = next((form for form in forms if form.type == "array"), None)
    if lists is None or (takes_text and ";" not in text):
        return text
    return _items(text, media=lists.holds_media)


def _items(text: str, *, media: bool) -> list[str]:
    """Split a cell into its items; commas separate files, where no item has one itself."""
    items = [item.strip() for item in re.split(r"[;\n]", text) if item.strip()]
    if media and len(items) == 1 and "data:" not in text:
        by_comma = [item.strip() for item in text.split(",") if item.strip()]
        if all(re.search(r"\.\w{2,5}$", item) for item in by_comma):
            return by_comma
    return items


def _remarks(columns: _Columns, catalog: Catalog) -> Iterator[Problem]:
    """Say once which columns are not sent, each with the parameter that its name is close to."""
    for header, models in columns.unsent.items():
        if _is_index(header):
            continue
        names = sorted({name for model in models if (read := catalog.find(model)) for name in read.params})
        near = difflib.get_close_matches(_plain_name(header), names, 1, 0.75)
        which = next(iter(models)) if len(models) == 1 else f"{len(models)} of the models"
        hint = f"did you mean {near[0]}?" if near else ""
        yield Problem(
            f"column {header!r}" if header else "a column without a header",
            f"not sent: no parameter of {which}",
            hint=hint,
            warning=True,
        )


def _is_index(header: str) -> bool:
    """Tell the row numbers that pandas writes when it saves a table."""
    return _plain_name(header) in ("unnamed:_0", "index", "")
