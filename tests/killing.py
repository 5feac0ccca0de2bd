"""The killing: a run is ended by SIGKILL at random moments and started again, against a service that drops answers.

    python -m tests.killing --jobs 300 --kills 20 --seed 1 [--service kling|kling-official] [--blind]

prints what the service and the folder say at the end; `tests/test_killing.py` runs a smaller one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from aimlvideo.cli.app import app
from tests.servers import sandbox_thread

MODELS = {
    "aimlapi": "kling-video/v1.6/pro/image-to-video",
    "kling": "kling-v1-6",
    "kling-official": "kling-3.0-turbo",
}

HOSTILE: dict[str, Any] = {
    "dropped": 0.10,
    "error_after": 0.05,
    "unavailable": 0.05,
    "rate_limited": 0.03,
    "poll_error": 0.05,
    "cut_download": 0.05,
    "dead_link": 0.05,
    "slow_trickle": 0.01,
    "trickle_seconds": 0.5,
    "latency": 0.01,
    "video": "tiny",
}


@dataclass(frozen=True)
class Outcome:
    """What is true after the last run. `rows` are the lines of results.jsonl."""

    exit_code: int
    kills: int
    stats: dict[str, Any]
    rows: list[dict[str, Any]]
    stages: dict[str, int] = field(default_factory=dict)
    clips: int = 0
    said: str = ""
    unmatched: str = ""
    """What `aimlvideo reconcile` found that does not match; a gateway has no ledger to ask."""


def kill_and_restart(
    folder: Path, *, jobs: int, kills: int, seed: int, service: str = "aimlapi", **knobs: Any
) -> Outcome:
    """Run `jobs` jobs, killing the process group `kills` times; return what is true at the end."""
    chance = random.Random(seed)
    job_file = folder / "jobs.jsonl"
    job_file.write_text("".join(json.dumps(_job(number, service)) + "\n" for number in range(jobs)))
    with sandbox_thread(**{**HOSTILE, "seed": seed, "seconds": "uniform:0.2,0.8", **knobs}) as sandbox:
        command = _command(job_file, folder / "out", sandbox.url, service)
        done = 0
        while done < kills:
            process = _start(command)
            try:
                process.wait(timeout=chance.uniform(0.5, 1.6))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                done += 1
            process.communicate(timeout=60)
            if process.returncode in (0, 1):
                break
        last = _start(command)
        said, _ = last.communicate(timeout=300)
        unmatched = _reconciled(folder / "out", sandbox.url) if service == "aimlapi" else ""
        stats = sandbox.stats()
    rows = [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()]
    stages = {stage: sum(row["stage"] == stage for row in rows) for stage in {row["stage"] for row in rows}}
    clips = len(list((folder / "out").glob("*.mp4")))
    return Outcome(last.returncode, done, stats, rows, stages, clips, said, unmatched)


def _reconciled(output: Path, url: str) -> str:
    """Return what the ledger, the log and the journal disagree about."""
    done = CliRunner().invoke(app, ["reconcile", str(output), "--base-url", url, "--api-key", "k"])
    return "" if done.exit_code == 0 and "everything matches" in done.stdout else done.output


def _job(number: int, service: str) -> dict[str, Any]:
    pictures = {"image_url": "https://example.com/a.png"} if service == "aimlapi" else {}
    return {"id": f"job{number}", "model": MODELS[service], "prompt": f"clip {number}", "duration": 5, **pictures}


def _command(job_file: Path, output: Path, url: str, service: str) -> list[str]:
    told = ["--service", service, "--base-url", url, "--api-key", "k", "--poll", "every:0.2", "--settle", "2.5"]
    limits = ["--max-outstanding", "40", "--rate", "25", "--quiet"]
    return [sys.executable, "-m", "aimlvideo", "run", str(job_file), "-o", str(output), *told, *limits]


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--service", default="aimlapi")
    parser.add_argument("--blind", action="store_true", help="the gateway cannot be asked by external_task_id")
    told = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        knobs = {"kling_external_query": False} if told.blind else {}
        outcome = kill_and_restart(
            Path(name), jobs=told.jobs, kills=told.kills, seed=told.seed, service=told.service, **knobs
        )
    accepted = outcome.stats["accepted_by_client_request_id"]
    print(f"{outcome.kills} kills, {time.monotonic() - started:.0f} s, exit code {outcome.exit_code}")
    print(f"stages {outcome.stages}; {outcome.clips} clips; accepted {outcome.stats['accepted']}, by id {accepted}")
    print(outcome.stats)
    print(outcome.said[-2000:])
    print(f"reconcile: {outcome.unmatched[-2000:] or 'everything matches'}")


if __name__ == "__main__":
    main()
