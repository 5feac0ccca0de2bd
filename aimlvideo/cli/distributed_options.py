"""The options of the commands for many machines: their database, and the limits of the account.

The help of these commands works without the extra that they need.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aimlvideo.cli.options import PACE, count_or_auto, read_secret
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.errors import UsageError

if TYPE_CHECKING:
    from aimlvideo.cli.shared_jobs import SharedJobs
    from aimlvideo.distributed.shared_account import AccountLimits

DSN_VARIABLE = "AIMLVIDEO_DSN"
EMBEDDED_DSN = "embedded"


@contextmanager
def _distributed_extra() -> Iterator[None]:
    """Import inside this block what needs the extra. Raises UsageError where it is not installed."""
    try:
        # The first that is missing, without the extra.
        import_module("psycopg")
        yield
    except ModuleNotFoundError as error:
        raise UsageError(f"{error}: pip install 'aimlvideo[distributed]'") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """Which database holds the jobs of many workers. None of these names it: the embedded one, where it may."""

    dsn: Annotated[
        str | None,
        typer.Option(
            envvar=DSN_VARIABLE,
            show_envvar=True,
            show_default=False,
            help="The database that workers share: postgresql://USER@HOST/NAME, or embedded. Keep a password out of "
            "it: put it into PGPASSFILE, or the whole DSN into the environment or --dsn-file.",
        ),
    ] = None
    dsn_file: Annotated[
        str | None, typer.Option(help="A file that has the DSN: as --dsn, but not shown by ps.", show_default=False)
    ] = None

    def shared_jobs(self, terminal: Terminal) -> SharedJobs:
        """Return the jobs of the database that was named in whichever way, else of the embedded one.

        Raises UsageError.
        """
        return _shared_jobs(self._given(terminal), terminal)

    def shared_jobs_of_page(self, folder: Path, terminal: Terminal) -> SharedJobs | None:
        """Return the jobs of the database where a page is made from it, which a folder's own journal wins over.

        Only a DSN that is typed wins over that. Raises UsageError.
        """
        dsn = self._given(terminal)
        named = self.dsn_file is not None or self._is_typed
        from_database = dsn is not None and (named or not (folder / JOURNAL).exists())
        return _shared_jobs(dsn, terminal) if from_database else None

    def folder_or_shared_jobs(self, folder: Path | None, terminal: Terminal) -> Path | SharedJobs:
        """Return the folder of a run, or else the jobs of the database that was named.

        A folder wins over the environment's DSN. Raises UsageError where both or nothing was given.
        """
        dsn = self._given(terminal)
        if folder is not None and (self.dsn_file is not None or (dsn is not None and self._is_typed)):
            raise UsageError("pass either a folder or --dsn")
        if folder is None and dsn is None:
            raise UsageError(
                "which run? Pass its output folder; or, for the jobs of many workers, either --dsn or "
                f"{DSN_VARIABLE} (--dsn embedded for the embedded database)"
            )
        return _shared_jobs(dsn, terminal) if folder is None else folder

    @property
    def _is_typed(self) -> bool:
        """Whether --dsn was typed: what is in the environment is not shown by ps, and names no place by itself."""
        return self.dsn is not None and self.dsn != os.environ.get(DSN_VARIABLE)

    def _given(self, terminal: Terminal) -> str | None:
        """Return the DSN of --dsn, --dsn-file or the environment, None where there is none. Raises UsageError."""
        if self.dsn_file is not None:
            if self._is_typed:
                raise UsageError("pass either --dsn or --dsn-file")
            return read_secret("--dsn-file ", self.dsn_file, "the DSN")
        # Both spellings of libpq: a URL and "key=value".
        if self.dsn and self._is_typed and re.search(r"//[^/@:]*:[^@/]+@|password\s*=", self.dsn):
            terminal.remark(
                f"the password in --dsn is shown to every user of this machine by ps: use {DSN_VARIABLE}, --dsn-file, "
                "or PGPASSFILE"
            )
        return self.dsn or None


def _shared_jobs(dsn: str | None, terminal: Terminal) -> SharedJobs:
    with _distributed_extra():
        from aimlvideo.cli.shared_jobs import SharedJobs  # noqa: PLC0415 - an extra
    return SharedJobs(None if dsn == EMBEDDED_DSN else dsn, terminal)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOptions:
    """The limits of the account, for all workers together; what is not given stays as it is."""

    max_outstanding: Annotated[
        str | None,
        typer.Option(
            help="Generations at a time across all workers, or auto.", show_default=False, rich_help_panel=PACE
        ),
    ] = None
    rate: Annotated[
        float | None,
        typer.Option(help="Submissions per second across all workers.", show_default=False, rich_help_panel=PACE),
    ] = None
    poll_rate: Annotated[
        float | None,
        typer.Option(help="Status checks per second across all workers.", show_default=False, rich_help_panel=PACE),
    ] = None
    heartbeat: Annotated[
        float | None,
        typer.Option(
            help="Seconds of silence after which other workers take over.", show_default=False, rich_help_panel=PACE
        ),
    ] = None
    max_spend: Annotated[
        float | None,
        typer.Option(
            help="USD that the whole list may cost; inf removes the limit.", show_default=False, rich_help_panel=PACE
        ),
    ] = None

    def limits(self) -> AccountLimits:
        """Return the limits that were given. Raises UsageError where one cannot be right."""
        with _distributed_extra():
            from aimlvideo.distributed.shared_account import AccountLimits  # noqa: PLC0415 - an extra
        most = self.max_outstanding
        return AccountLimits(
            None if most is None else count_or_auto("--max-outstanding", most) or "auto",
            self.rate, self.poll_rate, self.heartbeat, self.max_spend,
        )  # fmt: skip
