"""A plugin that hides from the tests what only POSIX has. One command runs the tests that are for all systems:

PYTHONIOENCODING=cp1252 PYTHONUTF8=0 python -m pytest -p tests.cli.posix_hidden -m "not long and not browser"
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.without_posix import hide_posix

POSIX_ALONE = (
    *("distributed", "hostile", "promise", "sandbox", "postgres_server.py", "test_sandbox_run.py", "test_killing.py"),
    *("test_crash_points.py", "test_live_progress.py", "test_unbreakable_command.py"),
)
"""Tests of what no other system has: signals to processes, terminals, PostgreSQL as a child."""
hide_posix(keep=("getuid", "statvfs", "pwd"))  # pytest and `shutil` ask them, by the name of the system


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave those out."""
    return True if collection_path.name in POSIX_ALONE else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs PostgreSQL, and what no other system lets anybody do: to rename a folder in use."""
    for item in items:
        if re.search("postgres|folder_that_is_renamed", item.nodeid) or {"dsn", "server", "template"} & set(
            getattr(item, "fixturenames", ())
        ):
            item.add_marker(pytest.mark.skip(reason="POSIX alone has this"))
