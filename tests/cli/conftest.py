"""The command against a sandbox, in a folder of its own."""

from __future__ import annotations

import copy
import functools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import typer.testing
from typer.testing import CliRunner, Result

from aimlvideo.cli.app import app
from aimlvideo.core.money.pricing import Prices
from aimlvideo.core.services import service_of
from aimlvideo.core.wires.aimlapi_models import PRICES
from aimlvideo.core.wires.http import Answer
from aimlvideo.sandbox import Sandbox
from tests.servers import sandbox_thread

Command = Callable[..., Result]
# What a command takes is the same each time: to read that off its function takes longer than most commands do.
first_command = functools.cache(typer.main.get_command)
typer.main.get_command = functools.cache(typer.main.get_command)


def new_command(app: typer.Typer) -> Any:
    """Return what a runner calls, with the list of commands as a new process has it: each is loaded into that."""
    made = copy.copy(first_command(app))
    if hasattr(made, "commands"):
        made.commands = dict(made.commands)
    return made


typer.testing._get_command = new_command  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=8)
def read_prices(body: bytes) -> Prices:
    return PRICES.read(Answer(200, {}, body))


# A sandbox lists the same prices each time: to read these 100 KB takes as long as the rest of many a command.
object.__setattr__(
    service_of("aimlapi"), "prices", PRICES._replace(read=lambda answer: Prices(read_prices(answer.body)))
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with sandbox_thread() as served:
        yield served


@pytest.fixture
def command(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Return a way to give a command against the sandbox, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIMLAPI_BASE_URL", sandbox.url)
    monkeypatch.setenv("AIMLAPI_API_KEY", "key-that-nobody-may-see")
    monkeypatch.setattr(sys, "argv", ["aimlvideo", "..."])

    def run(*words: Any, **options: Any) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, **options)

    return run


def write_jobs(path: Path, *jobs: dict[str, Any] | str) -> Path:
    path.write_text("".join((job if isinstance(job, str) else json.dumps(job)) + "\n" for job in jobs))
    return path


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    read = (json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines())
    return {row["id"]: row for row in read}


def quick(*words: Any) -> list[Any]:
    return ["run", *words, "-o", "out", "--poll", "every:0.05", "--rate", 1000]
