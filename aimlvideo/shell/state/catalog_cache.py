"""The catalogue as it is known on this machine: what was shipped, and above it what was read from the service."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from aimlvideo.core.catalog.catalog import Catalog, load_catalog
from aimlvideo.errors import SettingsError
from aimlvideo.shell.files.private_files import is_special
from aimlvideo.shell.user_folders import cache_folder

log = logging.getLogger("aimlvideo")


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What the last refresh found. `models` has the form of catalog.json; `date` is ISO 8601 in UTC.

    `refused` has a reason for each model whose document could not be used; what was known of those models stays.
    """

    models: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    date: str = ""
    etag: str = ""


class CatalogCache:
    """One file under the user's cache folder, or under `folder`."""

    def __init__(self, folder: Path | None = None) -> None:
        self.path = (cache_folder() if folder is None else folder) / "catalog.json"

    def read(self) -> Refreshed | None:
        """Return what was kept; None when nothing was, or when it cannot be read: then the shipped catalogue holds."""
        if is_special(self.path):
            return None
        try:
            cached = json.loads(self.path.read_bytes())
            refreshed = Refreshed(**cached)
            texts = isinstance(refreshed.date, str) and isinstance(refreshed.etag, str)
            if not texts or not isinstance(refreshed.models, dict) or not isinstance(refreshed.refused, dict):
                raise ValueError("its fields have the wrong types")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            _say_unread(self.path, error.strerror or str(error))
            return None
        except (ValueError, TypeError, RecursionError) as error:
            _say_damaged(self.path, f"{type(error).__name__}: {str(error)[:200]}")
            return None
        return refreshed

    def write(self, refreshed: Refreshed) -> None:
        """Keep this in the place of what was there, whole or not at all."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile("w", encoding="utf-8", dir=self.path.parent, delete=False) as file:
                json.dump(asdict(refreshed), file)
            Path(file.name).replace(self.path)
        except OSError as error:
            reason = error.strerror or error
            raise SettingsError(f"cannot keep the catalogue in {self.path}: {reason}") from error

    def add(self, models: Mapping[str, Any]) -> None:
        """Keep these models as well. What was read of all others, and when, stays; a full disk keeps nobody waiting."""
        cached = self.read() or Refreshed()
        try:
            self.write(replace(cached, models={**cached.models, **models}))
        except SettingsError as error:
            log.info("%s", error)


@lru_cache(maxsize=16)  # said once, however often one command reads it
def _say_damaged(path: Path, reason: str) -> None:
    log.error(
        "the catalogue kept in %s is damaged, the shipped one is used: %s. `aimlvideo models --refresh` makes it anew",
        path,
        reason,
    )


@lru_cache(maxsize=16)
def _say_unread(path: Path, reason: str) -> None:
    log.warning("the catalogue kept in %s cannot be read, the shipped one is used: %s", path, reason)


def known_catalog() -> Catalog:
    """Return the shipped catalogue, with what the last refresh found above it."""
    cached = CatalogCache().read()
    return load_catalog(cached.models if cached else None)
