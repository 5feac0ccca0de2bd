"""Commands and clients work for a user without a home folder, and lose nothing that was paid."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.errors import SettingsError
from aimlvideo.shell import user_folders
from aimlvideo.shell.files.object_stores import journal_folder
from aimlvideo.shell.state.catalog_cache import CatalogCache, known_catalog
from aimlvideo.shell.state.learned_durations import LearnedDurations
from tests.cases import for_each

UNKNOWN = "a number that the system has no user for, as in a container"


def live_in(home: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.chdir(folder)
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    if home == UNKNOWN:
        monkeypatch.delenv("HOME")
        monkeypatch.setattr(os, "getuid", lambda: 54321)


@for_each("home", [os.devnull, "relative", "/proc/nowhere", UNKNOWN])
def test_without_a_home_folder_the_shipped_catalogue_holds_and_nothing_is_left_here(
    tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    live_in(home, monkeypatch, tmp_path)
    assert len([*known_catalog()]) == len([*load_catalog(None)])
    CatalogCache().add({"a": {}})
    for _ in range(3):
        knowledge = LearnedDurations.load()
        knowledge.policy("model")
        knowledge.save()
    assert "damaged" not in caplog.text
    assert sum(home in record.getMessage() for record in caplog.records) <= 1
    assert list(tmp_path.iterdir()) == []


def test_a_catalogue_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = CatalogCache(tmp_path)
    cache.path.mkdir()
    assert cache.read() is None
    assert "cannot be read, the shipped one is used: Is a directory" in caplog.text


def test_the_journal_of_a_run_into_an_object_store_is_not_kept_where_the_next_run_does_not_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_folders, "user_state_path", lambda _: Path("~", ".local"))
    with pytest.raises(SettingsError, match=r"there is no home folder to keep the journal of a run .* set HOME"):
        journal_folder("s3://bucket/clips")
