"""The killing, spread out: workers die, freeze and come back, PostgreSQL crashes, answers are dropped.

    python -m tests.distributed.killing --jobs 600 --cap 100 --workers 4 --seed 1

Meanwhile connections are terminated, workers with a wrong key start again and again, one worker is stopped as planned,
and the cap is lowered. It prints what the service, the journal and the folder say at the end;
`test_spread_out_killing.py` runs a smaller one.
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
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.worker_actions import init_database, queue_file
from aimlvideo.distributed.account import AccountLimits
from tests.killing import HOSTILE
from tests.postgres_server import Server, postgres

DEAREST = 0.3
"""USD: a little more than a clip costs."""
ACCOUNT = """
    SELECT outstanding, max_outstanding, spent + assumed + committed, max_spend FROM aimlvideo_account
"""
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'aimlvideo'"
MODEL = "kling-video/v1.6/pro/image-to-video"
HISTORY = """
    CREATE TABLE history (at timestamptz DEFAULT clock_timestamp(), id text, owner text, stage text, request_id text);
    CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO history (id, owner, stage, request_id) VALUES (NEW.id, NEW.owner, NEW.stage, NEW.request_id);
        RETURN NEW;
    END $$;
    CREATE TRIGGER remember AFTER UPDATE ON aimlvideo_jobs FOR EACH ROW EXECUTE FUNCTION remember();
"""
"""What became of each job and when, for finding out how a clip came to be bought twice."""
KNOBS: dict[str, Any] = {**HOSTILE, "dropped": 0.05, "error_after": 0.02, "unavailable": 0.01, "rate_limited": 0.0}


@dataclass(frozen=True)
class Plan:
    """What is done to whom. Seconds; `kill_every` is a range."""

    jobs: int = 600
    workers: int = 3
    cap: int = 100
    rate: float = 60.0
    seconds: str = "uniform:2,6"
    settle: float = 12.0
    heartbeat: float = 3.0
    kill_every: tuple[float, float] = (2.0, 4.0)
    kills: int = 12
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """What is true at the end. `bought` counts, by job, the request ids under which the service was paid for it."""

    seconds: float
    kills: int
    stages: dict[str, int]
    stats: dict[str, Any]
    bought: dict[str, list[str]]
    clips: int
    wrong_keys: tuple[int, ...] = ()
    """How the workers with a wrong key ended."""
    passed: tuple[str, ...] = ()
    """When cap or budget were passed."""
    said: str = field(repr=False, default="")


class Workers:
    """The worker processes of one run."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command, self._log = command, log
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start one more."""
        with self._log.open("ab") as log:
            self.running.append(subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True))

    def kill(self, which: int) -> None:
        """End one by SIGKILL."""
        process = self.running.pop(which)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def signal(self, which: int, number: signal.Signals) -> None:
        """Send one a signal."""
        os.killpg(self.running[which].pid, number)

    def end(self) -> None:
        """Stop all that are left, in order."""
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def spread_out(folder: Path, plan: Plan, server: Server) -> Outcome:
    """Let workers work and die until every job is saved; return what is true then."""
    began, chance = time.monotonic(), random.Random(plan.seed)
    job_file = folder / "jobs.jsonl"
    job_file.write_text("".join(json.dumps(_job(number)) + "\n" for number in range(plan.jobs)))
    with _service(plan) as url:
        limits = AccountLimits(plan.cap, plan.rate, 100.0, plan.heartbeat, plan.jobs * DEAREST)
        init_database(server.dsn, Terminal(quiet=True), limits)
        queue_file(str(job_file), server.dsn, {"service": "aimlapi"}, Terminal(quiet=True), retry_failed=False)
        with psycopg.connect(server.dsn, autocommit=True) as db:
            db.execute(HISTORY)
        workers = Workers(_worker(plan, folder, server.dsn, url), folder / "log")
        wrong_keys = WrongKeys(_worker(plan, folder, server.dsn, url, key="bad"))
        watch = AccountWatch(server.dsn)
        for _ in range(plan.workers):
            workers.start()
        try:
            with watch:
                kills = _torment(workers, wrong_keys, plan, server, chance)
                _until_saved(server.dsn, plan.jobs)
        finally:
            workers.end()
        stats = json.load(urllib.request.urlopen(f"{url}/__sandbox/stats"))
        bought = _bought(url)
    clips = len(list((folder / "out").glob("*.mp4")))
    said = (folder / "log").read_text(errors="replace")
    ended = time.monotonic() - began
    passed = tuple(watch.passed)
    return Outcome(ended, kills, _stages(server.dsn), stats, bought, clips, tuple(wrong_keys.ended), passed, said)


class AccountWatch(threading.Thread):
    """Reads the account all the time, and notes where more is outstanding, or more spent, than may be."""

    def __init__(self, dsn: str) -> None:
        super().__init__(daemon=True)
        self.passed: list[str] = []
        self._dsn = dsn
        self._over = threading.Event()

    def __enter__(self) -> AccountWatch:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Read until the block is left. After the cap was lowered, what is outstanding may only become less."""
        before = 0
        while not self._over.wait(0.05):
            try:
                with psycopg.connect(self._dsn, autocommit=True) as db:
                    while not self._over.wait(0.02):
                        row = db.execute(ACCOUNT).fetchone()
                        assert row is not None
                        outstanding, cap, money, limit = row
                        if outstanding > max(cap, before) or money > limit + 1e-6:
                            self.passed.append(f"{outstanding} of {cap} (before: {before}), {money} of {limit} USD")
                        before = outstanding
            except psycopg.Error:
                continue


class WrongKeys:
    """A worker with a wrong key that is started again and again; `ended` has its exit codes."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self.ended: list[int] = []

    def start_once(self) -> None:
        """Start it, and wait for its end."""
        self.ended.append(subprocess.run(self._command, check=False, capture_output=True, timeout=60).returncode)


def _torment(workers: Workers, wrong_keys: WrongKeys, plan: Plan, server: Server, chance: random.Random) -> int:
    """Kill one worker after the other and start new ones, and do one more thing each time, in turn."""
    frozen_at, restart_at, crash_at = plan.kills // 3, 2 * plan.kills // 3, plan.kills // 2
    lowered_at, stopped_at, cut_at = plan.kills // 4, 3 * plan.kills // 4, 1
    kills = 0
    while kills < plan.kills and not _all_saved(server.dsn, plan.jobs):
        time.sleep(chance.uniform(*plan.kill_every))
        if kills == frozen_at:
            workers.signal(0, signal.SIGSTOP)
            time.sleep(plan.heartbeat * 1.7)
            workers.signal(0, signal.SIGCONT)
        if kills == lowered_at:
            with psycopg.connect(server.dsn, autocommit=True) as db:
                db.execute("UPDATE aimlvideo_account SET max_outstanding = %s", (plan.cap // 2,))
        if kills == stopped_at:
            workers.signal(0, signal.SIGTERM)
            workers.running.pop(0).wait(60)
            workers.start()
        if kills == cut_at:
            with psycopg.connect(server.dsn, autocommit=True) as db:
                db.execute(CUT)
        if kills % 2 == 0:
            wrong_keys.start_once()
        if kills in (restart_at, crash_at):
            server.stop(signal.SIGQUIT if kills == crash_at else signal.SIGINT)
            time.sleep(plan.heartbeat / 3)
            server.start()
            time.sleep(plan.heartbeat / 3)
        workers.kill(chance.randrange(1, len(workers.running)))
        workers.start()
        kills += 1
    return kills


def _until_saved(dsn: str, jobs: int, patience: float = 240.0) -> None:
    give_up = time.monotonic() + patience
    while not _all_saved(dsn, jobs) and time.monotonic() < give_up:
        time.sleep(0.1)


def _all_saved(dsn: str, jobs: int) -> bool:
    return _stages(dsn).get("saved", 0) == jobs


def _stages(dsn: str) -> dict[str, int]:
    with psycopg.connect(dsn) as db:
        return dict(db.execute("SELECT stage, count(*) FROM aimlvideo_jobs GROUP BY stage").fetchall())


def _bought(url: str) -> dict[str, list[str]]:
    """Return what the service's own log says was paid, by the mark of the job it was for."""
    paid: set[str] = set()
    offset = 0
    while True:
        asked = f"{url}/v2/logs?period=24h&limit=100&offset={offset}"
        request = urllib.request.Request(asked, headers={"Authorization": "Bearer k"})
        page = json.load(urllib.request.urlopen(request))
        rows = page["data"] if isinstance(page, dict) else page
        paid.update(row["client_request_id"] for row in rows if row["status"] == "succeeded")
        offset += len(rows)
        if not rows:
            break
        time.sleep(0.31)  # 200 requests in 60 s
    bought: dict[str, list[str]] = {}
    for name in sorted(paid):
        bought.setdefault(name[:15], []).append(name)
    return bought


def _history(dsn: str, request_ids: list[str]) -> list[str]:
    """Return the steps of the job that these were sent for."""
    told = "SELECT * FROM history WHERE id IN (SELECT id FROM history WHERE request_id = ANY(%s)) ORDER BY at"
    with psycopg.connect(dsn) as db:
        return [f"{at:%H:%M:%S.%f} {' '.join(map(str, rest))}" for at, *rest in db.execute(told, (request_ids,))]


@contextmanager
def _service(plan: Plan) -> Iterator[str]:
    told = [f"--set={name}={json.dumps(value)}" for name, value in KNOBS.items()]
    command = [*_aimlvideo(), "sandbox", "--port", "0", "--seed", str(plan.seed), "--seconds", plan.seconds, *told]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            yield next(word for word in said.split() if word.startswith("http"))
        finally:
            process.terminate()


def _job(number: int) -> dict[str, Any]:
    return {"id": f"job{number}", "model": MODEL, "prompt": f"clip {number}", "image_url": "https://example.com/a.png"}


def _worker(plan: Plan, folder: Path, dsn: str, url: str, key: str = "k") -> list[str]:
    told = ["--base-url", url, "--api-key", key, "--poll", "every:0.3", "--settle", str(plan.settle)]
    return [*_aimlvideo(), "--log", "info", "worker", "-o", str(folder / "out"), "--dsn", dsn, *told]


def _aimlvideo() -> list[str]:
    return [sys.executable, "-m", "aimlvideo"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=600)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--cap", type=int, default=100)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", help="keep what the workers said in this file")
    told = parser.parse_args()
    plan = Plan(jobs=told.jobs, workers=told.workers, cap=told.cap, kills=told.kills, seed=told.seed)
    with tempfile.TemporaryDirectory() as name, postgres() as server:
        outcome = spread_out(Path(name), plan, server)
        twice = {job: names for job, names in outcome.bought.items() if len(names) > 1}
        for names in list(twice.values())[:3]:
            print(*names, *_history(server.dsn, names), sep="\n  ")
    if told.log:
        Path(told.log).write_text(outcome.said)
    lost = sum(outcome.stats["answers_lost"].values())
    print(
        f"{outcome.kills} kills, 1 freeze, 1 crash and 1 restart of PostgreSQL, the cap halved, {outcome.seconds:.0f} s"
    )
    print(f"stages {outcome.stages}, {outcome.clips} clips; {lost} answers were lost")
    print(f"workers with a wrong key ended with {sorted(set(outcome.wrong_keys))}; limits passed: {outcome.passed}")
    print(f"accepted {outcome.stats['accepted']} for {told.jobs} jobs, bought twice: {len(twice)}")
    print(f"outstanding at the service: at most {outcome.stats['outstanding_peak']} of {told.cap}")
    print(f"fenced: {outcome.said.count('was given to another worker')}, settled: {outcome.said.count('settled:')}")


if __name__ == "__main__":
    main()
