"""What is imported at the start, and what only when it is needed: no extra, no server, no template for a look."""

from __future__ import annotations

import subprocess
import sys

import pytest

LONG = pytest.mark.long
EXTRAS = (
    "IPython", "PIL", "adlfs", "av", "fsspec", "gcsfs", "jsonschema", "mcp", "numpy", "openpyxl", "opentelemetry",
    "pandas", "pgqueuer", "prometheus_client", "psycopg", "s3fs",
)  # fmt: skip
CLIENT = "import aimlvideo; aimlvideo.VideoClient"
STATUS = "import aimlvideo.cli.commands.status"
CHECK = "import aimlvideo.cli.commands.check"
COMMANDS = f"""
import pkgutil, sys
sys.modules |= dict.fromkeys({EXTRAS!r})
import aimlvideo.cli.commands
for module in pkgutil.iter_modules(aimlvideo.cli.commands.__path__, "aimlvideo.cli.commands."):
    __import__(module.name)
"""


def imported(code: str) -> set[str]:
    """Return the modules that a new process has after this code."""
    code = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "needless"),
    [
        (CLIENT, {"pydantic_core", "aiohttp.web", "mutagen", "imagesize", "filelock", "jinja2", "rich", *EXTRAS}),
        pytest.param(CHECK, {"aiohttp.web", "mutagen", "imagesize", "filelock", "jinja2", *EXTRAS}, marks=LONG),
        pytest.param(
            STATUS, {"aiohttp", "mutagen", "imagesize", "filelock", "jinja2", "aimlvideo.client", *EXTRAS}, marks=LONG
        ),
    ],
    ids=["client", "check", "status"],
)
def test_a_start_imports_nothing_that_it_does_not_need(code: str, needless: set[str]) -> None:
    assert needless & imported(code) == set()


@pytest.mark.long
def test_every_command_can_be_imported_without_any_extra() -> None:
    imported(COMMANDS)
