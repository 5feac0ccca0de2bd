"""The embedded sandbox from the command: the demo, and the sandbox as a server of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aimlvideo.cli.embedded import behaviour_of, sandbox_here, sandbox_parts
from aimlvideo.cli.running import RunOptions, closing, in_loop, see_through
from aimlvideo.cli.scenes import pictures_for, scenes
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.errors import SettingsError, UsageError, VideoError
from aimlvideo.shell.files.output_folders import JOURNAL, checked_folder
from aimlvideo.shell.journal.sqlite import open_journal


def serve(port: int, told: dict[str, Any], knobs: Sequence[str], terminal: Terminal) -> int:
    """Serve the sandbox until it is interrupted; return the exit code."""
    Sandbox, Behaviour, _ = sandbox_parts()
    behaviour = behaviour_of(Behaviour, told | dict(_knob(text) for text in knobs))

    async def work() -> None:
        try:
            async with Sandbox(behaviour, port=port) as sandbox:
                terminal.say(f"the sandbox is at {sandbox.url} (AIMLAPI_BASE_URL); any key will do. Ctrl-C ends it")
                await asyncio.get_running_loop().create_future()
        except* (OSError, OverflowError) as group:
            raise SettingsError(f"the sandbox cannot be served on port {port}: {group.exceptions[0]}") from None

    with suppress(KeyboardInterrupt):
        in_loop(work())
    return 0


def demo(output: Path, terminal: Terminal) -> int:
    """Make a dozen clips over every wire and every model family; return the exit code."""
    *_, sample_picture = sandbox_parts()
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


def _knob(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text!r}: expected NAME=VALUE")
    try:
        told = json.loads(value)
    except ValueError:
        told = value
    return name.replace("-", "_"), tuple(told) if isinstance(told, list) else told
