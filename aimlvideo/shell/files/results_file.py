"""`results.jsonl`: a line for each job that has ended or was left, with what `Result.row` says of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aimlvideo.core.jobs.result import Result
from aimlvideo.errors import DiskFailed
from aimlvideo.shell.descriptors import write_failure_advice
from aimlvideo.shell.files.private_files import drop_link, new_file, no_follow, refuse_special, replacing

ODD_LETTERS = "backslashreplace"
"""Half a surrogate pair is written as JSON escapes it."""
_JSON = json.JSONEncoder(ensure_ascii=False)
FAILED_STAGE = b'"stage": "failed"'
"""How the line of a failed job has its stage. No text in a line has this: its quotes are escaped."""


UNPAID = b'"video_url": null, "cost_usd": null, "error"'
"""How the line of a failed job has that there was no clip, and that nobody said what it cost."""
NO_GENERATION = b'"generation_id": null'
_NAMES = re.compile(rb'{"id": "([^"\\]*)", .*?"generation_id": "([^"\\]*)"')


class ResultsFile:
    """`results.jsonl`: where results are written as they come, and read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _disk_error(path):
            drop_link(path)
            refuse_special(path)
            self._file = open(path, "a", encoding="utf-8", errors=ODD_LETTERS, opener=no_follow)  # noqa: SIM115
            if _is_cut(path):
                self._file.write("\n")

    def write(self, result: Result) -> None:
        """Add one line. Raises DiskFailed."""
        with _disk_error(self._path):
            self._file.write(_line(result))
            self._file.flush()

    def close(self) -> None:
        """Write no more."""
        with _disk_error(self._path):
            self._file.close()

    @staticmethod
    def rewrite(path: Path, results: Iterable[Result]) -> None:
        """Write the file anew, whole or not at all. Raises DiskFailed."""
        with _disk_error(path), replacing(path) as part, new_file(part, errors=ODD_LETTERS) as file:
            file.writelines(_line(result) for result in results)
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def count_lines(path: Path) -> tuple[int, int]:
        """Return how many lines a results file has, and how many of them are of failed jobs; 0 where there is none."""
        refuse_special(path)
        lines = failed = 0
        with suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                lines += not line.isspace()
                failed += FAILED_STAGE in line
        return lines, failed

    @staticmethod
    def paid_generations(path: Path) -> Iterator[tuple[str, str]]:
        """Give the generations in a results file that may be paid, each behind its job's id; quickly.

        Where a line cannot be read so, both are empty.
        """
        refuse_special(path)
        with suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                # A generation that failed was paid only where its clip was ready, or where it was charged.
                is_paid = FAILED_STAGE not in line or UNPAID not in line
                if is_paid and NO_GENERATION not in line and not line.isspace():
                    names = _NAMES.match(line)
                    job_id, generation = names.groups() if names else (b"", b"")
                    yield job_id.decode(errors="replace"), generation.decode(errors="replace")

    @staticmethod
    def read(path: Path) -> Iterator[dict[str, Any]]:
        """Give the lines of the file; one that was cut short by a crash is passed over."""
        refuse_special(path)
        # A byte that was damaged costs its own line, not the file; a mark of an editor before the first costs none.
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for line in file:
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    # Whatever stands in a line that cannot be read, the others have ids of paid generations.
                    continue
                if isinstance(row, dict):
                    yield row


def _is_cut(path: Path) -> bool:
    """Tell whether the last line was cut short by a crash."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _line(result: Result) -> str:
    return _JSON.encode(result.row()) + "\n"


@contextmanager
def _disk_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskFailed(f"{path} cannot be written: {error.strerror}. {write_failure_advice(error)}") from error
