"""What is imported at the start, and what only when it is needed: no extra, no server, no template for a look."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import aimlvideo
from aimlvideo import VideoJob
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.shell.journal.sqlite import open_journal

EXTRAS = (
    "IPython", "PIL", "adlfs", "av", "fsspec", "gcsfs", "jsonschema", "mcp", "numpy", "openpyxl", "opentelemetry",
    "pandas", "pgqueuer", "prometheus_client", "psycopg", "s3fs",
)  # fmt: skip
RARE = {"aiohttp.web", "mutagen", "imagesize", "filelock", "jinja2", *EXTRAS}
"""What no short command needs, and no client before its first clip."""
UNUSED_BY_A_CLIENT = {
    "csv", "fractions", "ijson", "pydantic_core", "rich", "sqlite3", "statistics", "zipfile",
    "aimlvideo.shell.files.job_files", "aimlvideo.shell.files.uploads", "aimlvideo.shell.files.video",
    "aimlvideo.shell.journal.sqlite",
}  # fmt: skip
"""What a client needs for a job file, a journal or uploads, and not before it is given one."""
CLIENT = "import aimlvideo; aimlvideo.VideoClient"
COMMANDS = f"""
import pkgutil, sys
sys.modules |= dict.fromkeys({EXTRAS!r})
import aimlvideo.cli.commands
for module in pkgutil.iter_modules(aimlvideo.cli.commands.__path__, "aimlvideo.cli.commands."):
    __import__(module.name)
"""


def imported(code: str) -> set[str]:
    """Return the modules that a new process has after this code."""
    code = f"{code}\nimport sys; print(); print('modules:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.rpartition("\nmodules: ")[2].split())


def given(*words: object) -> str:
    """Return code that gives this command."""
    return f"""
import contextlib, sys
from aimlvideo.cli.app import app
sys.argv = ["aimlvideo", *{[str(word) for word in words]}]
with contextlib.suppress(SystemExit):
    app()
"""


def test_a_client_imports_nothing_that_it_does_not_need() -> None:
    assert (UNUSED_BY_A_CLIENT | RARE) & imported(CLIENT) == set()


@pytest.mark.long
def test_the_check_of_a_file_asks_the_service_without_a_client_and_its_pipeline(tmp_path: Path) -> None:
    job = {"model": "alibaba/wan-2-6-t2v", "prompt": "waves", "duration": 5}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(job))
    modules = imported(given("check", tmp_path / "jobs.jsonl", "--base-url", "http://127.0.0.1:9"))
    assert {"aiohttp", "aimlvideo.core.wires.aimlapi"} <= modules  # it has asked for prices
    needless = {"sqlite3", "aimlvideo.client", "aimlvideo.pipeline.pipeline", "aimlvideo.pipeline.poll"}
    assert (needless | RARE) & modules == set()


@pytest.mark.long
async def test_the_status_of_a_run_needs_no_event_loop_no_network_and_no_screen(tmp_path: Path) -> None:
    async with open_journal(tmp_path / JOURNAL) as journal:
        job = journal.plan(VideoJob("alibaba/wan-2-6-t2v", id="a", prompt="waves")).job
        submitted = Progress().to(Stage.SUBMITTING, request_id="r", submitted_at=1.0)
        journal.step(job, submitted.to(Stage.RENDERING, generation_id="g"))
    needless = {"aiohttp", "anyio", "asyncio", "ssl", "rich", "ijson", "aimlvideo.client", "aimlvideo.views.snapshot"}
    modules = imported(given("status", tmp_path))
    assert "aimlvideo.core.catalog.catalog" in modules  # it has priced the job
    assert (needless | RARE) & modules == set()


@pytest.mark.long
def test_every_command_can_be_imported_without_any_extra() -> None:
    imported(COMMANDS)


@pytest.mark.long
def test_the_package_works_from_an_archive_as_tools_that_make_one_file_of_a_program_put_it(tmp_path: Path) -> None:
    root = Path(aimlvideo.__file__).parent
    with ZipFile(tmp_path / "package.zip", "w") as archive:
        for file in root.rglob("*"):
            if "__pycache__" not in file.parts and file.is_file():
                archive.write(file, Path("aimlvideo", file.relative_to(root)))
    code = """
import aimlvideo
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.sandbox.catalogue import all_models
from aimlvideo.views.report.report_file import page_text
assert "package.zip" in aimlvideo.__file__
assert len("".join(page_text("title", {}, (), {}))) > 10_000
assert load_catalog().find("alibaba/wan-2-6-t2v") and all_models()
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "package.zip")}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True)
