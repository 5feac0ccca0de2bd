"""`aimlvideo demo`: a dozen clips on the embedded sandbox, over every wire and every model family of the first hour."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import typer

from aimlvideo.cli.embedded_sandbox import import_sandbox, sandbox_here
from aimlvideo.cli.exit_codes import ALL_SAVED, UNFINISHED, exit_codes
from aimlvideo.cli.options import Output, Quiet, ServiceOptions
from aimlvideo.cli.run_folder import RunFolder
from aimlvideo.cli.run_options import RunOptions
from aimlvideo.cli.session import RunSession
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.errors import DiskFailed, VideoError
from aimlvideo.shell.descriptors import write_failure_advice
from aimlvideo.shell.files.output_folders import checked_folder, open_folder_journal
from aimlvideo.shell.files.private_files import replacing
from aimlvideo.shell.journal.sqlite import SqliteJournal

MULTI_IMAGE = "kling-video/v1.6/standard/multi-image-to-video"
LAST_FRAME = "kling-video/v1.6/pro/image-to-video"
MULTI_SHOT = "klingai/video-v3-standard-image-to-video"
TEXT_ONLY = "alibaba/wan-2-6-t2v"
LEGACY_ONLY = "wan/v2.1/1.3b/text-to-video"
GATEWAY = "kling-v1-6"

PICTURES = ("dunes", "harbour", "forest", "city night", "portrait", "ballerina")

app = CommandApp()


@app.command(epilog="Example: aimlvideo demo -o demo-clips")
def demo(output: Output = Path("demo-clips"), quiet: Quiet = False) -> None:
    """Make a dozen real clips on the embedded sandbox: no key, no network, no bill."""
    with exit_codes(quiet=quiet) as terminal:
        raise typer.Exit(_make_demo(output, terminal))


def _make_demo(output: Path, terminal: Terminal) -> int:
    """Make a dozen clips over every wire and every model family; return the exit code."""
    sample_picture = import_sandbox("aimlvideo.sandbox.film.scenes").sample_picture
    pictures = _pictures_for(checked_folder(output) / "pictures", sample_picture)
    started = time.monotonic()
    halted: VideoError | None = None

    async def work() -> None:
        nonlocal halted
        async with sandbox_here(seconds="uniform:0.4,1.6") as url:
            for service, legacy, jobs in _scenes(pictures):
                access = ServiceOptions(service=service, base_url=url, api_key="sandbox")
                settings = access.client_options(max_outstanding=20, legacy=legacy, poll="every:0.2", rate=10.0)
                async with VideoClient(**settings) as client, _planned(output, jobs) as journal:
                    halted = await RunSession(RunOptions(output=output), terminal).process(client, journal) or halted

    try:
        in_loop(work())
    except KeyboardInterrupt:
        terminal.say("interrupted")
        if not (output / JOURNAL).exists():
            return UNFINISHED
    code = RunSession(RunOptions(output=output), terminal).finish(halted)
    if code == ALL_SAVED:
        _remove_pictures(pictures, sample_picture)
    terminal.say(f"{time.monotonic() - started:.1f} s on the embedded sandbox: no key, no network, no bill")
    terminal.say(
        "next: write a job file, try `aimlvideo run jobs.jsonl -o trial --sandbox`; then `-o clips` without it"
    )
    return code


@asynccontextmanager
async def _planned(output: Path, jobs: Sequence[VideoJob]) -> AsyncIterator[SqliteJournal]:
    """Give the journal of the demo's folder, with these jobs in it."""
    async with open_folder_journal(output) as journal:
        RunFolder(output).claim(journal, sandbox=True)
        for job in jobs:
            journal.plan(job)
        yield journal


def _pictures_for(folder: Path, draw: Callable[[str], bytes]) -> dict[str, Path]:
    """Draw the pictures that the jobs start from; return them by name."""
    paths = {name: (folder / f"{name.replace(' ', '-')}.png").resolve() for name in PICTURES}
    try:
        folder.mkdir(exist_ok=True)
        for name, path in paths.items():
            if not path.exists():
                with replacing(path) as part:  # half a picture would be taken for a person's own
                    part.write_bytes(draw(name))
    except OSError as error:
        raise DiskFailed(f"{folder} cannot be written: {error.strerror}. {write_failure_advice(error)}") from error
    return paths


def _remove_pictures(pictures: dict[str, Path], draw: Callable[[str], bytes]) -> None:
    """Take away the pictures that the demo drew, which nobody asked for; what else is in their folder stays."""
    for name, path in pictures.items():
        if path.read_bytes() == draw(name):
            path.unlink()
    with suppress(OSError):
        path.parent.rmdir()


def _scenes(pictures: dict[str, Path]) -> Sequence[tuple[str, bool, Sequence[VideoJob]]]:
    """Return the jobs by service and by whether the legacy URLs are used."""
    at = {name: str(path) for name, path in pictures.items()}
    universal = (
        VideoJob(
            MULTI_IMAGE, id="ballerina", prompt="A ballerina dances through a harbour at dawn",
            image_list=[at["ballerina"], at["harbour"], at["dunes"]], duration=5,
        ),
        VideoJob(
            MULTI_IMAGE, id="two-worlds", prompt="The forest becomes a city", aspect_ratio="9:16",
            image_list=[at["forest"], at["city night"]],
        ),
        VideoJob(
            LAST_FRAME, id="day-to-night", prompt="From the dunes into the night", image_url=at["dunes"],
            tail_image_url=at["city night"], duration=5,
        ),
        VideoJob(LAST_FRAME, id="slow-harbour", prompt="Boats rock in the morning light", image_url=at["harbour"]),
        VideoJob(
            MULTI_SHOT, id="three-shots", image_url=at["forest"], duration=6, generate_audio=True,
            multi_prompt=["A path through the forest", "Light falls between the trees", "A deer looks up"],
        ),
        VideoJob(MULTI_SHOT, id="with-sound", prompt="She turns and smiles", image_url=at["portrait"], duration=4),
        VideoJob(TEXT_ONLY, id="text-only", prompt="Waves roll onto a beach under two moons", duration=5),
        VideoJob(TEXT_ONLY, id="upright", prompt="A paper lantern rises", duration=5, aspect_ratio="9:16"),
    )  # fmt: skip
    legacy = (
        VideoJob(LEGACY_ONLY, id="legacy-only", prompt="A kite over a hill"),
        VideoJob(LAST_FRAME, id="legacy-url", prompt="The old city wakes", image_url=at["city night"]),
    )
    gateway = (
        VideoJob(
            GATEWAY, id="gateway-pictures", prompt="Dancer and dunes", mode="std", duration=5,
            image_list=[at["ballerina"], at["dunes"]],
        ),
        VideoJob(GATEWAY, id="gateway-square", prompt="A glass marble rolls", duration=5, aspect_ratio="1:1"),
    )  # fmt: skip
    return (("aimlapi", False, universal), ("aimlapi", True, legacy), ("kling", False, gateway))
