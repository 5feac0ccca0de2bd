"""A plugin that hides from the tests what only POSIX has: `python -m pytest -p tests.cli.posix_hidden`."""

from __future__ import annotations

import pytest

from tests.cli.without_posix import hide_posix

hide_posix(keep=("getuid", "statvfs", "pwd"))  # pytest and `shutil` ask them, by the name of the system


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what sends signals to processes or asks what only POSIX has: by its marker."""
    for item in items:
        if "posix" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="POSIX alone has this"))
