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
NEEDS_POSIX = re.compile("postgres|folder_that_is_renamed|killed|fills_up|full_disk|a_pipe_under|a_device_is")
"""Parts of the names of the other tests that use a signal, a named pipe, or a lock that goes with its process."""
hide_posix(keep=("getuid", "statvfs", "pwd"))  # pytest and `shutil` ask them, by the name of the system


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave those out."""
    return True if collection_path.name in POSIX_ALONE else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what no other system has."""
    for item in items:
        if NEEDS_POSIX.search(item.nodeid) or {"dsn", "server", "lender"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.skip(reason="POSIX alone has this"))
