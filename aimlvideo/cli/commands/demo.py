"""`aimlvideo demo`: a dozen clips on the embedded sandbox."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import typer

from aimlvideo.cli.demo_jobs import pictures_for, scenes
from aimlvideo.cli.embedded_sandbox import sandbox_here, sandbox_parts
from aimlvideo.cli.options import Output, Quiet, ServiceOptions, exit_codes
from aimlvideo.cli.run_options import RunOptions
from aimlvideo.cli.session import RunScope, finish, in_loop, process
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app
from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.errors import VideoError
from aimlvideo.shell.files.output_folders import checked_folder
from aimlvideo.shell.journal.sqlite import open_journal

app = command_app()


@app.command(epilog="Example: aimlvideo demo -o demo-clips")
def demo(output: Output = Path("demo-clips"), quiet: Quiet = False) -> None:
    """Make a dozen real clips on the embedded sandbox: no key, no network, no bill."""
    terminal = Terminal(quiet=quiet)
    with exit_codes(terminal):
        raise typer.Exit(_make_demo(output, terminal))


def _make_demo(output: Path, terminal: Terminal) -> int:
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
                access = ServiceOptions(service=service, base_url=url, api_key="sandbox")
                settings = access.client(max_outstanding=20, legacy=legacy, poll="every:0.2", rate=10.0)
                options = RunOptions(output=output, service=service)
                async with VideoClient(**settings) as client:
                    halted = await process(client, options, terminal, RunScope()) or halted

    try:
        in_loop(work())
    except KeyboardInterrupt:
        terminal.say("interrupted")
    code = finish(RunOptions(output=output), halted, terminal, RunScope())
    terminal.say(f"{time.monotonic() - started:.1f} s on the embedded sandbox: no key, no network, no bill")
    terminal.say("next: write a job file, try `aimlvideo run jobs.jsonl -o clips --sandbox`, then without --sandbox")
    return code


async def _plan(output: Path, jobs: Sequence[VideoJob]) -> None:
    async with open_journal(output / JOURNAL) as journal:
        for job in jobs:
            journal.plan(job)
