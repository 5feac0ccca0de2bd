"""The embedded sandbox from the command: the demo, and the sandbox as a server of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aimlvideo.cli.running import RunOptions, closing, in_loop, see_through
from aimlvideo.cli.scenes import pictures_for, scenes
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.job import VideoJob
from aimlvideo.errors import SettingsError, UsageError, VideoError
from aimlvideo.folders import JOURNAL, checked_folder
from aimlvideo.shell.journal import open_journal


@asynccontextmanager
async def sandbox_here(**behaviour: Any) -> AsyncIterator[str]:
    """Give the URL of an embedded sandbox. Raises SettingsError where its extra is missing."""
    Sandbox, Behaviour, _ = _sandbox()
    async with Sandbox(_behaviour(Behaviour, {"seconds": "uniform:1,2.5", **behaviour}), port=0) as sandbox:
        yield sandbox.url


def serve(port: int, told: dict[str, Any], knobs: Sequence[str], terminal: Terminal) -> int:
    """Serve the sandbox until it is interrupted; return the exit code."""
    Sandbox, Behaviour, _ = _sandbox()
    behaviour = _behaviour(Behaviour, told | dict(_knob(text) for text in knobs))

    async def work() -> None:
        try:
            async with Sandbox(behaviour, port=port) as sandbox:
                terminal.say(f"the sandbox is at {sandbox.url} (AIMLAPI_BASE_URL); any key will do. Ctrl-C ends it")
                await asyncio.get_running_loop().create_future()
        except OSError as error:
            raise SettingsError(f"the sandbox cannot be served on port {port}: {error.strerror}") from error

    with suppress(KeyboardInterrupt):
        in_loop(work())
    return 0


def demo(output: Path, terminal: Terminal) -> int:
    """Make a dozen clips over every wire and every model family; return the exit code."""
    *_, sample_picture = _sandbox()
    pictures = pictures_for(checked_folder(output) / "pictures", sample_picture)
    started = time.monotonic()
    halted: VideoError | None = None

    async def work() -> None:
        nonlocal halted
        async with sandbox_here(seconds="uniform:0.4,1.6") as url:
            for service, legacy, jobs in scenes(pictures):
                await _plan(output, jobs)
                settings: dict[str, Any] = {"legacy": legacy, "poll": "every:0.2", "rate": 10.0}
                async with VideoClient("sandbox", url, service, **settings) as client:
                    halted = await see_through(client, RunOptions(output, service), terminal) or halted

    try:
        in_loop(work())
    except KeyboardInterrupt:
        terminal.say("interrupted")
    code = closing(RunOptions(output, "aimlapi"), halted, terminal)
    terminal.say(f"{time.monotonic() - started:.1f} s on the embedded sandbox: no key, no network, no bill")
    terminal.say("next: write a job file, try `aimlvideo run jobs.jsonl -o clips --sandbox`, then without --sandbox")
    return code


async def _plan(output: Path, jobs: Sequence[VideoJob]) -> None:
    async with open_journal(output / JOURNAL) as journal:
        for job in jobs:
            journal.plan(job)


def _sandbox() -> tuple[Any, Any, Any]:
    try:
        from aimlvideo.sandbox import Behaviour, Sandbox  # noqa: PLC0415 - an extra
        from aimlvideo.sandbox.pictures import sample_picture  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(f"the sandbox needs its extra: pip install 'aimlvideo[sandbox]' ({error})") from error
    return Sandbox, Behaviour, sample_picture


def _behaviour(kind: Any, told: dict[str, Any]) -> Any:
    names = {field.name for field in dataclasses.fields(kind)}
    if unknown := sorted(told.keys() - names):
        raise UsageError(f"the sandbox has no {', '.join(unknown)}; it has {', '.join(sorted(names))}")
    try:
        return kind(**told)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the sandbox cannot behave so: {error}") from error


def _knob(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text!r}: expected NAME=VALUE")
    try:
        told = json.loads(value)
    except ValueError:
        told = value
    return name.replace("-", "_"), tuple(told) if isinstance(told, list) else told
