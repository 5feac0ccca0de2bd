"""Job files in the forms that people have: JSON lines, a JSON array, a table, a list of prompts, a folder of pictures.

Every reader gives pairs of where a job stands (`jobs.csv:17`) and the job as it was written, or what is wrong there;
a job that is only wrong in part comes after its problems, so that all else can be checked too.
A `Problem` with `warning` is a remark about the file, not a job.
"""

from __future__ import annotations

import codecs
import io
import itertools
import logging
import re
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, BinaryIO

from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.media_types import PICTURE_ENDINGS
from aimlvideo.errors import InvalidJobs, Problem, SettingsError
from aimlvideo.shell.files.json_jobs import SNIFFED, Line, looks_like_json, read_json, read_json_lines
from aimlvideo.shell.files.tables import PROMPT_HEADERS, Table, TableJob
from aimlvideo.shell.files.workbooks import OLD_WORKBOOK, OLD_WORKBOOK_HINT, read_xlsx

log = logging.getLogger("aimlvideo")

IN_MEMORY = 16_000_000
"""Bytes of a stream that are held in memory before they go to a temporary file."""
LONGEST_LINE = 2**29
"""Bytes of one line of a job file: it is held in memory, several times over."""
FORMS = ".jsonl, .ndjson, .json, .csv, .tsv, .xlsx, .txt or .md, a folder of pictures, or - for standard input"
READ_TWICE = 2**22
"""Bytes of a file that are read within a second: ten thousand jobs."""


@dataclass(frozen=True, slots=True)
class JobDefaults:
    """What every job of a file has where its own line says nothing else: `--model` and `--set`."""

    model: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)

    def applied(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Return a line with the defaults for what it leaves out or leaves empty."""
        defaults = {"model": self.model, **self.params} if self.model else dict(self.params)
        job = TableJob({**defaults, **{name: value for name, value in line.items() if value not in (None, "")}})
        if isinstance(line, TableJob):
            job.id_header = line.id_header
        return job


NO_DEFAULTS = JobDefaults()


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job file of any form, or a folder of pictures, by its name; `-` is standard input."""

    name: str
    copy: BinaryIO | None = None
    """What a stream has said, which says it only once."""

    def __post_init__(self) -> None:
        """Raise SettingsError for a name that no file can have."""
        # An empty one would be the folder that one stands in.
        if not self.name.strip():
            raise SettingsError(f"the name of the job file is empty: expected a job file ({FORMS})")
        try:
            Path(self.name).stat()
        except FileNotFoundError:
            pass  # said when it is opened; `-` is none
        except (OSError, ValueError) as error:  # ValueError: a NUL in it
            reason = getattr(error, "strerror", None) or error
            expected = f"expected the name of a job file ({FORMS})"
            raise SettingsError(f"{self.name[:60]!r} cannot be read: {reason}; {expected}") from error

    @property
    def title(self) -> str:
        """What messages call it."""
        return "stdin" if self.name == "-" else Path(self.name).name

    @property
    def folder(self) -> Path:
        """Where its relative paths start."""
        if self.name == "-":
            return Path.cwd()
        path = Path(self.name).resolve()
        return path if path.is_dir() else path.parent

    @property
    def can_be_read_again(self) -> bool:
        """Whether it is there a second time: a file or a folder is, standard input and a pipe are not."""
        is_there = self.name != "-" and (Path(self.name).is_file() or Path(self.name).is_dir())
        return is_there or self.copy is not None

    @property
    def is_read_soon(self) -> bool:
        """Whether it can be read once more than necessary, for its mistakes alone, and nobody waits for long."""
        path = Path(self.name)
        return self.can_be_read_again and not (path.is_file() and path.stat().st_size > READ_TWICE)

    @contextmanager
    def kept(self) -> Iterator[JobFile]:
        """Give the same file such that it can be read again: a stream is copied."""
        if self.can_be_read_again:
            yield self
            return
        with _opened(self.name) as copy:
            yield JobFile(self.name, copy)

    def check(self) -> None:
        """Raise SettingsError where there is no file of this name."""
        if self.name != "-" and not Path(self.name).is_dir():
            _file(self.name).close()

    @contextmanager
    def lines(self, catalog: Catalog, defaults: JobDefaults = NO_DEFAULTS) -> Iterator[Iterator[Line]]:
        """Give its lines. Raises SettingsError where it cannot be read."""
        if self.name != "-" and Path(self.name).is_dir():
            yield _completed(_pictures(Path(self.name), catalog, defaults), defaults)
            return
        table, reader = Table(self.title, catalog, defaults.model), _reader(self.name)
        with _opened(self.name) if self.copy is None else nullcontext(self.copy) as file:
            file.seek(0)
            if reader is read_xlsx:
                yield _completed(read_xlsx(table, file), defaults)
                return
            # An array in JSON may be one line: it is read value by value.
            text, remark = _as_utf8(self.title, file, inf if reader is _json else LONGEST_LINE)
            if remark and not remark[0][1].warning:  # type: ignore[union-attr]  # remarks are problems
                yield iter(remark)
                return
            with text as utf8:
                lines = (reader or _sniffed(table, utf8))(table, utf8)
                yield _completed(itertools.chain(remark, lines), defaults)

    def jobs(self, catalog: Catalog) -> Iterator[VideoJob]:
        """Yield its jobs, whatever its form; relative paths start beside it.

        Raises SettingsError where it cannot be read, InvalidJobs with all its lines that are no jobs: before any job.
        """
        with self.lines(catalog) as lines:
            _raise_for_problems(lines)
        with self.lines(catalog) as lines:
            for _, line in lines:
                if not isinstance(line, Problem):
                    yield VideoJob(**{"model": "", **line}).with_base_folder(self.folder)


def _completed(lines: Iterable[Line], defaults: JobDefaults) -> Iterator[Line]:
    for where, line in lines:
        yield where, line if isinstance(line, Problem) else defaults.applied(line)


_Reader = Callable[[Table, BinaryIO], Iterator[Line]]
"""Gives the lines of a file; what is a table in it, `Table` reads."""


def _json(table: Table, file: BinaryIO) -> Iterator[Line]:
    return read_json(table.name, file)


def _json_lines(table: Table, file: BinaryIO) -> Iterator[Line]:
    return read_json_lines(table.name, file)


def _reader(source: str) -> _Reader | None:
    """Return the reader that a file's ending asks for; None where its content decides."""
    ending = "" if source == "-" else Path(source).suffix.lower()
    readers: dict[str, _Reader] = {
        ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json, ".csv": Table.csv, ".tsv": Table.csv,
        ".xlsx": read_xlsx, ".xlsm": read_xlsx, ".md": _list_items,
    }  # fmt: skip
    # Excel saves a table as .txt, with tabs.
    if ending == ".txt":
        return None
    if ending in readers:
        return readers[ending]
    # A pipe, as `<(...)` makes one.
    if source == "-" or not Path(source).is_file():
        return None
    raise SettingsError(f"{source}: expected a job file that ends in {FORMS}")


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    """Open a source; a stream that cannot be read twice is copied first."""
    with nullcontext(sys.stdin.buffer) if source == "-" else _file(source) as file:
        if source != "-" and file.seekable():
            yield file
            return
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as copy:
            for chunk in _chunks(file, LONGEST_LINE):
                copy.write(chunk)
            copy.seek(0)
            yield copy  # type: ignore[misc]  # a spooled file is a binary file in all but its type


def _file(source: str) -> BinaryIO:
    try:
        return Path(source).open("rb")
    except FileNotFoundError as error:
        expected = f"expected the name of a job file ({FORMS})"
        raise SettingsError(f"{source} cannot be read: {error.strerror}; {expected}") from error
    except OSError as error:
        raise SettingsError(f"{source} cannot be read: {error.strerror}") from error


def _chunks(file: Any, longest: float) -> Iterator[bytes]:
    """Give a stream's content piece by piece. Raises SettingsError for a line that never ends, as of `/dev/zero`."""
    line = 0
    while chunk := file.read(1 << 20):
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        line = len(chunk) - 1 - end if end >= 0 else line + len(chunk)
        if line > longest:
            raise SettingsError(f"a line has more than {LONGEST_LINE >> 20} MB: expected a job file ({FORMS})")
        yield chunk


def _as_utf8(name: str, file: BinaryIO, longest: float) -> tuple[AbstractContextManager[BinaryIO], list[Line]]:
    """Return the file as UTF-8 without a byte order mark, and a remark where its encoding had to be guessed.

    A file that is UTF-8 already stays open: whoever opened it closes it.
    """
    head = file.read(SNIFFED)
    marked = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    file.seek(marked)
    beginning = head[marked:].lstrip().lower()
    if kind := next((start for start in _NO_TEXT if head.startswith(start) or beginning.startswith(start)), None):
        content, hint = _NO_TEXT[kind]
        return io.BytesIO(), [(name, Problem("", "text", content, hint))]
    if marked:
        return nullcontext(file), []
    if (encoding := _wide_encoding_of(head)) is not None:
        return _transcoded(file, encoding), []
    if _is_utf8(file, longest):
        return nullcontext(file), []
    encoding, title = ("mac_roman", "Mac Roman") if b"\r" in head and b"\n" not in head else ("cp1252", "Windows-1252")
    if not _is_western(head, encoding):
        got = "another encoding, of a script that cannot be told"
        return io.BytesIO(), [(name, Problem("", "text in UTF-8", got, "save it as UTF-8 (in Excel: CSV UTF-8)"))]
    remark = Problem(
        "", f"text in UTF-8: read as {title}", hint="check accented letters, or save it as UTF-8", warning=True
    )
    read = _line_by_line if encoding == "cp1252" else _transcoded
    return read(file, encoding), [(name, remark)]


_NO_TEXT = {
    b"PK\x03\x04": ("a ZIP archive or an Excel workbook", "a workbook's name ends in .xlsx"),
    b"\x1f\x8b": ("a compressed file", "unpack it first: gunzip"),
    **dict.fromkeys(
        (b"\xfd7zXZ", b"BZh9", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"), ("a compressed file", "unpack it first")
    ),
    b"SQLite format 3": ("a database", ""),
    b"{\\rtf": ("formatted text (RTF)", "save it as plain text"),
    **dict.fromkeys((b"<!doctype html", b"<html"), ("a page of the web", "a download may ask to sign in first")),
    b"version https://git-lfs": ("the place of a file that Git keeps elsewhere", "fetch it first: git lfs pull"),
    OLD_WORKBOOK: ("an old Excel workbook, or one with a password", OLD_WORKBOOK_HINT),
    b"%PDF": ("a PDF", ""),
    b"\x89PNG": ("a picture", ""),
    b"\xff\xd8\xff": ("a picture", ""),
    b"PAR1": ("a Parquet file", "in Python: client.run(pandas.read_parquet(...))"),
}
"""What files begin with that are no text of jobs, what each is, and what to do."""


def _wide_encoding_of(head: bytes) -> str | None:
    """Return the kind of UTF-16 or UTF-32; without a mark, every other byte of what is ASCII in UTF-16 is 0."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):  # first: the one begins with a mark of UTF-16
        return "utf-32"
    # Excel's "Unicode text" and PowerShell's `>` write UTF-16.
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[::2].count(0), head[1::2].count(0)
    # A NUL or two in a short text are damage: it would be bought as letters of another script.
    if max(even, odd) < max(len(head) / 20, 4) or min(even, odd) > max(even, odd) / 4:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _is_western(head: bytes, encoding: str) -> bool:
    """Tell whether text can be in a Western encoding: accented letters are few, and letters that it lacks are none."""
    try:
        head.decode(encoding)
    except UnicodeDecodeError:
        return False
    letters = [byte for byte in head if byte > 0x40]
    return sum(byte >= 0xC0 for byte in letters) <= len(letters) / 4


def _is_utf8(file: BinaryIO, longest: float) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(file, longest):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    finally:
        file.seek(0)
    return True


def _transcoded(file: BinaryIO, encoding: str) -> BinaryIO:
    copy = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the caller closes it
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for chunk in _chunks(file, LONGEST_LINE):
        copy.write(decoder.decode(chunk).encode())
    copy.write(decoder.decode(b"", final=True).encode())
    copy.seek(0)
    return copy  # type: ignore[return-value]


def _line_by_line(file: BinaryIO, encoding: str) -> BinaryIO:
    """Return in UTF-8 what is in two encodings where two files were joined: a line that is UTF-8 stays as it is."""
    copy = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the caller closes it
    while line := file.readline(LONGEST_LINE):
        try:
            line.decode()
        except UnicodeDecodeError:
            line = line.decode(encoding, errors="replace").encode()
        copy.write(line)
    copy.seek(0)
    return copy  # type: ignore[return-value]


def _sniffed(table: Table, file: BinaryIO) -> _Reader:
    """Return the reader for a text that no ending tells of, by how it begins."""
    if looks_like_json(file):
        return _json_lines
    place = file.tell()
    head = file.read(SNIFFED).decode(errors="replace")
    file.seek(place)
    return Table.csv if table.begins(head) else _prompts


# --- prompts and pictures


_MARK = re.compile(r"(?:[-*+•]|\d{1,4}[.)])\s+(?:\[[ xX]\]\s+)?")
_QUOTED = re.compile(r'"(?:[^"]|"")+"')
"""A cell as a spreadsheet saves it."""
_HEADING = re.compile(r"#{1,6}\s+\S")
_RULE = re.compile(r"(?:[-=*_~+#.]\s*){3,}")
"""A line that people draw between prompts."""
_CONFLICT = re.compile(r"(?:<{7}|>{7}|\|{7}) .*")


def _prompts(table: Table, file: BinaryIO) -> Iterator[Line]:
    """Give one job for each line that is not blank; a text of list items and headings alone is a Markdown list."""
    if _is_list(line for _, line in _text_lines(file)):
        yield from _list_items(table, file)
        return
    is_quoted = all(_QUOTED.fullmatch(line) or line.lower() in PROMPT_HEADERS for _, line in _text_lines(file))
    header = ""
    for place, (number, line) in enumerate(_text_lines(file)):
        where, prompt = f"{table.name}:{number}", line[1:-1].replace('""', '"') if is_quoted else line
        # A column that was saved on its own, or several behind each other: nobody wants a clip of its name.
        title = line.strip('"\ufeff').lower()
        if title in PROMPT_HEADERS and (place == 0 or title == header):
            header = title
            yield (
                where,
                Problem("", "one prompt per line", repr(line), "left out, as the name of a column", warning=True),
            )
            continue
        if _RULE.fullmatch(prompt):
            yield where, Problem("", "one prompt per line", repr(line[:40]), "left out, as a rule", warning=True)
        elif _CONFLICT.fullmatch(prompt):
            yield where, Problem("", "a prompt", repr(line[:40]), "Git left a conflict here: settle it first")
        else:
            yield where, {"prompt": prompt} if table.default_model else _no_model("a list of prompts")


def _is_list(lines: Iterable[str]) -> bool:
    """Tell a text that is a list: every line is an item, a heading or a rule, and one at least is an item."""
    has_items = False
    for line in lines:
        if _RULE.fullmatch(line):
            continue
        is_item = _MARK.match(line) is not None
        if not is_item and not _HEADING.match(line):
            return False
        has_items = has_items or is_item
    return has_items


def _list_items(table: Table, file: BinaryIO) -> Iterator[Line]:
    """Give one job for each item of the lists in a Markdown text."""
    lines = ((number, line) for number, line in _text_lines(file) if not _RULE.fullmatch(line))
    items = [(number, _MARK.sub("", line, count=1)) for number, line in lines if _MARK.match(line)]
    if not items:
        yield (
            table.name,
            Problem("", "a list of prompts, each behind - or 1.", "none", "or save it as .txt: one prompt per line"),
        )
    for number, prompt in items:
        yield f"{table.name}:{number}", {"prompt": prompt} if table.default_model else _no_model("a list of prompts")


def _text_lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Give the lines of a text that are not blank, from its beginning, each with its number."""
    start = file.tell()
    text = io.TextIOWrapper(file, "utf-8")
    try:
        for number, line in enumerate(text, start=1):
            if stripped := line.strip():
                yield number, stripped
    finally:
        if not file.closed:
            text.detach()  # whoever opened the file closes it
        file.seek(start)


def _pictures(folder: Path, catalog: Catalog, defaults: JobDefaults) -> Iterator[Line]:
    """Give one job for each picture of a folder, in the order of their names; a `.txt` beside one is its prompt."""
    # Hidden ones are no pictures: macOS puts `._a.jpg` beside each file on a stick or in an archive.
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    pictures = sorted(path for path in visible if path.suffix.lower() in PICTURE_ENDINGS and path.is_file())
    if not pictures:
        yield str(folder), Problem("", f"a folder with pictures ({', '.join(sorted(PICTURE_ENDINGS))})", "none in it")
        return
    name = defaults.model
    model = catalog.find(name) or catalog.find_unlisted(name) if name else None
    slot = _picture_param(model) if model else None
    if slot is None:
        problem = (
            Problem("model", "a model that takes a picture", repr(name), "aimlvideo models --image")
            if name
            else _no_model("a folder of pictures")
        )
        yield str(folder), problem
        return
    # `a.png` and `a.jpg` are two jobs: the stem is an id only where it is the only one.
    stems = Counter(path.stem for path in pictures)
    texts = [path for path in visible if path.suffix.lower() == ".txt"]
    prompts = {_composed(path.name).casefold(): path for path in texts} | {_composed(path.name): path for path in texts}
    for path in pictures:
        picture = _composed(path.name)
        job: dict[str, Any] = {"id": _composed(path.stem) if stems[path.stem] == 1 else picture}
        job[slot] = [picture] if model and model.params[slot].type == "array" else picture
        # What is called as the whole picture first: pictures that differ in their endings share the other.
        names = (f"{picture}.txt", _composed(path.with_suffix(".txt").name))
        found = (prompts.get(name) or prompts.get(name.casefold()) for name in names)
        if (text := next(filter(None, found), None)) is not None:
            job["prompt"], remarks = _text_of(text)
            yield from remarks
        yield f"{folder.name}/{path.name}", job


def _composed(name: str) -> str:
    """Return a file's name in the one form in which it is the same on every system: a Mac may take letters apart."""
    return unicodedata.normalize("NFC", name)


def _text_of(path: Path) -> tuple[str, list[Line]]:
    """Return all that a text says, and what is wrong with it."""
    where = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        got = "a link that leads nowhere" if path.is_symlink() else "none that can be read"
        return "", [(where, Problem("prompt", "a text", got))]
    with path.open("rb") as file:
        content, remarks = _as_utf8(where, file, LONGEST_LINE)
        with content as utf8:
            return utf8.read().decode().strip(), remarks


def _picture_param(model: Model) -> str | None:
    """Return the parameter that takes a model's first picture: the required one, else the usual names."""
    takes = [name for name, param in model.params.items() if "image" in (param.media, param.item and param.item.media)]
    required = [name for name in takes if model.params[name].required]
    usual = [name for name in ("image_url", "image_list", "image_urls") if name in takes]
    return next(iter([*required, *usual, *takes]), None)


def _no_model(what: str) -> Problem:
    return Problem("model", f"a model for {what}", "none", "--model MODEL; aimlvideo models lists them")


# --- for programs


def jobs_of_frame(frame: Any, catalog: Catalog) -> Iterator[VideoJob]:
    """Yield the jobs of a DataFrame, a row a job; columns mean what they mean in a CSV file. Raises InvalidJobs."""
    lines = list(Table("frame", catalog).frame(frame))
    _raise_for_problems(lines)
    for _, line in lines:
        if not isinstance(line, Problem):
            yield VideoJob(**{"model": "", **line})


def _raise_for_problems(lines: Iterable[Line]) -> None:
    remarks = [replace(line, where=where) for where, line in lines if isinstance(line, Problem)]
    for remark in remarks:
        if remark.warning:
            log.warning("%s", remark)
    if problems := [remark for remark in remarks if not remark.warning]:
        raise InvalidJobs(problems)
