"""The folders in which this user's programs keep things. The one place that knows platformdirs."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path, user_state_path

from aimlvideo.errors import SettingsError

NOWHERE = Path(os.devnull) / "nowhere"
"""Where a user without a home folder keeps things: nothing is read from it or written to it."""


def cache_folder() -> Path:
    """Return where is kept what can be had again; NOWHERE for a user without a home folder."""
    return _absolute(user_cache_path)


def state_folder() -> Path:
    """Return where is kept what was learned; NOWHERE for a user without a home folder."""
    return _absolute(user_state_path)


def lasting_folder(what: str) -> Path:
    """Return where is kept what must not be lost. Raises SettingsError for a user without a home folder."""
    if (folder := state_folder()) == NOWHERE:
        raise SettingsError(f"there is no home folder to keep {what} in: set HOME, or XDG_STATE_HOME, to a whole path")
    return folder


def _absolute(user_path: Callable[[str], Path]) -> Path:
    # Without a home, or with one that is a relative path, it would be another folder wherever a command is given: some
    # releases of platformdirs return that, others raise RuntimeError.
    with suppress(RuntimeError):
        if (folder := user_path("aimlvideo")).is_absolute():
            return folder
    return NOWHERE
