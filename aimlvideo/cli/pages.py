"""The page of a folder, from the command and at the end of each run."""

from __future__ import annotations

from pathlib import Path

from aimlvideo.cli.terminal import Terminal
from aimlvideo.errors import DiskFailed
from aimlvideo.views.report.report_file import REPORT, write_report


def report(folder: Path, terminal: Terminal) -> int:
    """Write the page of a folder and say where it is; return the exit code."""
    terminal.say(f"the page is {write_report(folder)}: open it in a browser")
    return 0


def leave_page(folder: Path, terminal: Terminal, *, hurried: bool) -> None:
    """Write the page at the end of a run; in a hurry without new posters. A page that fails fails no run."""
    try:
        write_report(folder, patience=0.0) if hurried else write_report(folder)
    except DiskFailed as error:
        terminal.remark(str(error))
    else:
        terminal.say(f"to look at them: {folder / REPORT}")
