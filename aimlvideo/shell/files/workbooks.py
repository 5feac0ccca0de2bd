"""Excel workbooks: their first sheet as a table of jobs, and a new one for a sample."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

from aimlvideo.core.formatting import pluralize
from aimlvideo.errors import Problem, SettingsError
from aimlvideo.shell.files.cells import NO_RESULT
from aimlvideo.shell.files.json_jobs import Line
from aimlvideo.shell.files.tables import TITLE_ROWS, Table

OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
OLD_WORKBOOK_HINT = "save it as .xlsx, without a password"
SAVE_ANEW = "save it anew as an Excel Workbook (.xlsx), or as CSV"
UNWANTED = "delete what is not wanted"
MOST_UNPACKED = 2**26
"""Bytes of a workbook, unpacked: 10,000 jobs have a tenth, and Python takes 20 times as many for the cells."""
MOST_CELLS = 1_000_000
MOST_MERGED = 100_000
_SHEETS = "xl/worksheets/"
_MERGED = re.compile(rb"mergeCell\s[^>]{0,200}?ref=[\"']([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})[\"']")
_NUMBERED = re.compile(r'(?:"([^"]+)")?(0+)')
"""The format of a number that is shown as a name: with zeros before it, and a word before those."""
_ESCAPED = re.compile(r"_x000D_(?:\n|_x000A_)|_x00[01][0-9A-F]_", re.IGNORECASE)
"""How a workbook keeps what XML cannot: the line ends of Windows, and other control characters."""
_WRITTEN = {"_X000D_\n": "\n", "_X000D__X000A_": "\n", "_X000D_": "\n", "_X000A_": "\n", "_X0009_": "\t"}
"""What stands for those in a prompt; for any other nothing does."""


def read_xlsx(table: Table, file: BinaryIO) -> Iterator[Line]:
    """Give the rows of a workbook's first sheet. Raises SettingsError where the extra `xlsx` is not installed."""
    name = table.name
    try:
        from openpyxl import load_workbook  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError(f"{name}: to read Excel files, pip install 'aimlvideo[xlsx]', or save it as CSV") from None
    if not (beginning := file.read(4)):
        return
    if beginning == OLD_WORKBOOK:
        got = "an old Excel workbook, or one with a password"
        yield name, Problem("", "an Excel workbook (.xlsx)", got, OLD_WORKBOOK_HINT)
        return
    try:
        parts = _parts(file)
        with warnings.catch_warnings(action="ignore"):  # of what it would not write again: nothing is written here
            book = load_workbook(file, data_only=True)
            file.seek(0)
            all_formulas = load_workbook(file)
        if not book.worksheets:
            yield name, _no_sheet(parts)
            return
        sheet = _sheet_with_jobs(book, table.is_header)
        formulas = all_formulas[sheet.title]
        height, width = sheet.max_row, sheet.max_column
    except BadZipFile as error:
        yield name, Problem("", "an Excel workbook (.xlsx)", "something else", str(error))
        return
    except Exception as error:
        got = f"one that cannot be read: {str(error) or type(error).__name__}"
        yield name, Problem("", "an Excel workbook (.xlsx)", got, SAVE_ANEW)
        return
    # One cell in the last corner makes a table of 17 billion.
    if height * width > MOST_CELLS:
        hint = "delete what stands far beyond the table"
        yield name, Problem("", f"at most {MOST_CELLS:,} cells", f"{height:,} rows of {width:,} columns", hint)
        return
    yield from ((name, remark) for remark in _workbook_remarks(book, sheet))
    merged = _merged_cells(sheet)
    rows = ((f"{name}:{row[0].row}", [_cell(cell, merged, formulas) for cell in row]) for row in sheet.iter_rows())
    yield from table.jobs(rows)


def xlsx_of(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return a workbook of one sheet. Raises SettingsError where the extra `xlsx` is not installed."""
    try:
        from openpyxl import Workbook  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("to write Excel files, pip install 'aimlvideo[xlsx]', or write a .csv file") from None
    book = Workbook(write_only=True)
    sheet = book.create_sheet("jobs")
    for row in rows:
        sheet.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def _no_sheet(parts: Sequence[str]) -> Problem:
    """Return what is wrong with a workbook that has no sheet that can be read."""
    expected = "an Excel workbook with a table of jobs"
    # Its tables are there, but all that is in it has other names (ISO/IEC 29500, the strict form).
    if any(part.startswith(_SHEETS) for part in parts):
        return Problem("", expected, "one in the form 'Strict Open XML'", SAVE_ANEW)
    return Problem("", expected, "one of charts alone")


def _parts(file: BinaryIO) -> Sequence[str]:
    """Return the names of its parts. Raises ValueError for a workbook that takes all memory when it is unpacked."""
    with ZipFile(file) as packed:
        size = sum(part.file_size for part in packed.infolist())
        if size > MOST_UNPACKED:
            raise ValueError(f"it unpacks to {size / 2**20:,.0f} MB: at most {MOST_UNPACKED // 2**20} MB are read")
        # Before it is loaded: the library makes a cell of each part of a merged one.
        parts = packed.namelist()
        sheets = (packed.read(name) for name in parts if name.startswith(_SHEETS))
        merged = sum(_area(*ends) for sheet in sheets for ends in _MERGED.findall(sheet))
    if merged > MOST_MERGED:
        raise ValueError(f"its merged cells stand for {merged:,}: at most {MOST_MERGED:,} are read")
    file.seek(0)
    return parts


def _area(column: bytes, row: bytes, last_column: bytes, last_row: bytes) -> int:
    """Return how many cells are merged to one."""
    width = 1 + abs(_column_number(last_column) - _column_number(column))
    return width * (1 + abs(int(last_row) - int(row)))


def _column_number(letters: bytes) -> int:
    return reduce(lambda number, letter: 26 * number + letter - ord("A") + 1, letters, 0)


def _cell(cell: Any, merged: Mapping[tuple[int, int], Any], formulas: Any) -> Any:
    """Return a cell's value; that of a merged cell for all its parts."""
    value = merged.get((cell.row, cell.column), cell.value)
    if value is None and formulas.cell(cell.row, cell.column).data_type == "f":
        return NO_RESULT
    if isinstance(value, str):
        return _ESCAPED.sub(_control_character, value)
    if type(value) is int and (shown := _NUMBERED.fullmatch(cell.number_format)):
        return (shown[1] or "") + str(value).zfill(len(shown[2]))  # shot-001, as people see it, and as CSV has it
    return value


def _control_character(escaped: re.Match[str]) -> str:
    return _WRITTEN.get(escaped[0].upper(), "")


def _merged_cells(sheet: Any) -> dict[tuple[int, int], Any]:
    """Return the value of each cell that is part of one merged over several rows: people mean all of them."""
    values: dict[tuple[int, int], Any] = {}
    for area in sheet.merged_cells.ranges:
        if area.min_col == area.max_col:
            value = sheet.cell(area.min_row, area.min_col).value
            values |= {(row, area.min_col): value for row in range(area.min_row, area.max_row + 1)}
    return values


def _sheet_with_jobs(book: Any, is_header: Callable[[Sequence[Any]], bool]) -> Any:
    """Return the first sheet that people see and that has a table with rows; else one without, else the first of all.

    Charts have sheets of their own, which are none of these.
    """
    visible = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"] or book.worksheets
    filled = [sheet for sheet in visible if _filled_rows(sheet)] or visible
    tables = [
        sheet for sheet in filled if any(map(is_header, sheet.iter_rows(max_row=TITLE_ROWS + 1, values_only=True)))
    ]
    return next((sheet for sheet in tables if _filled_rows(sheet) > 1), (tables or filled)[0])


def _filled_rows(sheet: Any) -> int:
    """Return how many rows have anything in them."""
    # Not its height: a look into a sheet makes it taller, and one cell in the last corner makes it a million rows.
    return len({cell.row for cell in sheet._cells.values() if cell.value is not None})


def _workbook_remarks(book: Any, sheet: Any) -> Iterator[Problem]:
    """Say what of a workbook is not read, or is read although nobody sees it."""
    others = [other.title for other in book.worksheets if other is not sheet and _filled_rows(other) > 1]
    if others:
        read = f"one sheet: {sheet.title!r} is read, the first with a table"
        yield Problem("", read, f"also {', '.join(others)}", warning=True)
    hidden = sum(bool(row.hidden) for row in sheet.row_dimensions.values())
    filled = (cell for cell in sheet._cells.values() if cell.value is not None and cell.has_style)
    struck_out = len({cell.row for cell in filled if cell.font.strike})
    for count, kind in ((hidden, "hidden"), (struck_out, "struck-out")):
        if count:
            verb = "is" if count == 1 else "are"
            yield Problem("", f"{pluralize(count, f'{kind} row')} {verb} read too", hint=UNWANTED, warning=True)
    if getattr(sheet, "_images", None):
        hint = "save them beside the workbook, and write their names into a column"
        yield Problem("", "names of pictures: those in the sheet itself are not read", hint=hint, warning=True)
