"""The killing, spread out: workers die, freeze and come back, machines, networks and the service fail meanwhile.

    python -m tests.distributed.killing --jobs 300 --cap 60 --workers 4 --seed 1 2 3

Between two kills one more thing goes wrong (`EVENTS`): PostgreSQL crashes, connections are cut or stall, the disk is
full, the account has no credits, the cap is lowered, the budget is spent. All the time the workers' clocks are 10
minutes apart, and a worker with a wrong key is started again and again. A supervisor starts again what ends with 3. It
prints what the service, the journal and the folder say at the end; `test_spread_out_killing.py` runs a smaller one.
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from aimlvideo.cli.exit_codes import UNFINISHED
from aimlvideo.cli.job_reader import ReaderOptions
from aimlvideo.cli.shared_jobs import SharedJobs
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.request_ids import PREFIX_LENGTH
from aimlvideo.distributed.shared_account import AccountLimits
from tests.hostile.network import Wire, wire_to
from tests.hostile.world import Service, can_mount, filled, small_disk
from tests.killing import HOSTILE
from tests.postgres_server import Server, postgres

QUIET = Terminal(quiet=True)
DEAREST = 0.3
"""USD: a little more than a clip costs."""
APART = 300.0
"""Seconds by which the clock of one machine is late, and that of the next one early."""
UNBLOCKED = 5.0
"""Seconds after a planned stop in which all that the worker had is with others again, or waits to be taken."""
ACCOUNT = """
    SELECT outstanding, max_outstanding, spent + assumed + committed, max_spend FROM aimlvideo_account
"""
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'aimlvideo'"
WORKER = "SELECT id FROM aimlvideo_workers WHERE name LIKE %s"
HELD = "SELECT id FROM pgqueuer WHERE queue_manager_id = %s"
BLOCKED = """
    SELECT count(*) FROM pgqueuer WHERE id = ANY(%s) AND status = 'picked' AND queue_manager_id IS NULL
"""
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
EVENTS = (
    "cut", "freeze", "stall", "lower the cap", "crash", "fill the disk", "no credits", "raise the budget", "restart",
    "stop",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What is done to whom. Seconds; `kill_every` is a range."""

    jobs: int = 300
    workers: int = 4
    cap: int = 60
    rate: float = 60.0
    seconds: str = "uniform:2,6"
    settle: float = 12.0
    heartbeat: float = 3.0
    kill_every: tuple[float, float] = (1.0, 3.0)
    events: tuple[str, ...] = EVENTS
    outage: float = 4.0
    """How long the disk is full, the account without credits, a connection silent."""
    wrong_key_every: float = 1.0
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
    violations: tuple[str, ...] = ()
    """When cap or budget were passed, or jobs were blocked after a planned stop."""
    restarts: int = 0
    """Workers that ended with 3, and were started again."""
    words: str = field(repr=False, default="")

    @property
    def bought_twice(self) -> dict[str, list[str]]:
        """The jobs that were paid more than once, with their request ids."""
        return {job: names for job, names in self.bought.items() if len(names) > 1}


class Workers:
    """The worker processes of one run, each on a machine whose clock is wrong; 3 starts one again, as the unit does."""

    def __init__(self, command: Callable[[int], list[str]], log: Path) -> None:
        self.running: list[subprocess.Popen[bytes]] = []
        self.restarts = 0
        self._command, self._log = command, log
        self._started = 0
        self._lock = threading.RLock()

    def start(self) -> None:
        """Start one more."""
        with self._lock, self._log.open("ab") as log:
            skew = APART if self._started % 2 else -APART
            self.running.append(_started(self._command(self._started), log, skew))
            self._started += 1

    def kill(self, which: int) -> None:
        """End one by SIGKILL."""
        with self._lock:
            process = self.running.pop(which)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)

    def signal(self, which: int, number: signal.Signals) -> None:
        """Send one a signal."""
        with suppress(ProcessLookupError):
            os.killpg(self.running[which].pid, number)

    def tend(self) -> None:
        """Start again what has ended with 3."""
        with self._lock:
            for process in [one for one in self.running if one.poll() is not None]:
                self.running.remove(process)
                assert process.returncode == UNFINISHED, f"a worker ended with {process.returncode}"
                self.restarts += 1
                self.start()

    def end(self) -> None:
        """Stop all that are left, in order."""
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


def _started(command: list[str], log: Any, skew: float) -> subprocess.Popen[bytes]:
    faults = json.dumps({"speed": 1, "origin": time.time(), "wrong_by": skew})
    environment = {**os.environ, "HOSTILE": faults}
    return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


class Watch(threading.Thread):
    """Reads the account and the service all the time, and notes where more is outstanding, or spent, than may be."""

    def __init__(self, dsn: str, service: SharedService) -> None:
        super().__init__(daemon=True)
        self.violations: list[str] = []
        self._dsn, self._service = dsn, service
        self._over = threading.Event()
        self._before = {"the account": 0, "the service": 0}

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Read until the block is left."""
        while not self._over.wait(0.05):
            with suppress(psycopg.Error), psycopg.connect(self._dsn, autocommit=True, connect_timeout=2) as db:
                while not self._over.wait(0.1):
                    self._read(db)

    def _read(self, db: psycopg.Connection[Any]) -> None:
        at_the_service = self._service.outstanding()
        row = db.execute(ACCOUNT).fetchone()
        assert row is not None
        outstanding, cap, money, limit = row
        # What was on its way when the cap was lowered arrives a moment later: the account has it in its count.
        counted = max(cap, outstanding, self._before["the account"])
        self._compare("the account", outstanding, cap)
        self._compare("the service", at_the_service, counted)
        if money > limit + 1e-6:
            self.violations.append(f"{money} of {limit} USD")

    def _compare(self, where: str, outstanding: int, cap: int) -> None:
        """After the cap was lowered, what is outstanding may only become less."""
        if outstanding > max(cap, self._before[where]):
            self.violations.append(f"{where}: {outstanding} of {cap} (before: {self._before[where]})")
        self._before[where] = outstanding


class SharedService:
    """A sandbox in a process of its own, for the watch and the torment."""

    def __init__(self, plan: Plan) -> None:
        self._service = Service(1.0, time.time(), plan.seed)
        self._knobs = {**KNOBS, "seconds": plan.seconds}
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._service.port}"
        self.set()

    def set(self, **settings: Any) -> None:
        """Have it behave otherwise."""
        with self._lock:
            self._service.set(**{**self._knobs, **settings})

    def accepted(self) -> dict[str, Any]:
        """Return all that it has accepted, and its counts."""
        with self._lock:
            return self._service.accepted()

    def outstanding(self) -> int:
        """Return how many generations have not ended."""
        return sum(not one["ended"] for one in self.accepted()["generations"])

    def close(self) -> None:
        """End it."""
        self._service.close()


class WrongKeys(threading.Thread):
    """A worker with a wrong key that is started again and again; `ended` has its exit codes."""

    def __init__(self, command: list[str], every: float) -> None:
        super().__init__(daemon=True)
        self.ended: list[int] = []
        self._command, self._every = command, every
        self._over = threading.Event()

    def __enter__(self) -> WrongKeys:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join(60)

    def run(self) -> None:
        """Start it until the block is left. It may find the database away."""
        while not self._over.is_set():
            done = subprocess.run(self._command, check=False, capture_output=True, timeout=60)
            self.ended.append(done.returncode)
            self._over.wait(self._every)


@dataclass
class Torment:
    """Does one thing after the other to the workers, the database, the disk and the service."""

    plan: Plan
    server: Server
    wire: Wire
    service: SharedService
    workers: Workers
    disk: Path | None
    chance: random.Random
    kills: int = 0
    violations: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Have every event happen once, a kill after each, until all is saved."""
        for event in self.plan.events:
            if _all_saved(self.server.dsn, self.plan.jobs):
                break
            self._sleep(self.chance.uniform(*self.plan.kill_every))
            getattr(self, event.replace(" ", "_"))()
            self.workers.kill(self.chance.randrange(len(self.workers.running)))
            self.workers.start()
            self.kills += 1

    def cut(self) -> None:
        """End all connections to the database."""
        with psycopg.connect(self.server.dsn, autocommit=True) as db:
            db.execute(CUT)

    def lower_the_cap(self) -> None:
        """Halve what may be outstanding."""
        SharedJobs(self.server.dsn, QUIET).show_limits(AccountLimits(max_outstanding=self.plan.cap // 2))

    def freeze(self) -> None:
        """Stop a worker for longer than its heartbeat, and let it go on."""
        self.workers.signal(0, signal.SIGSTOP)
        self._sleep(self.plan.heartbeat * 1.7)
        self.workers.signal(0, signal.SIGCONT)

    def stall(self) -> None:
        """Let the connections of half the workers stay open, and nothing come through."""
        self.wire.stall()
        self._sleep(max(self.plan.outage, self.plan.heartbeat * 1.7))
        self.wire.mend()

    def fill_the_disk(self) -> None:
        """Have no room for any clip for a while."""
        if self.disk is not None:
            filled(self.disk, free=0)
            self._sleep(self.plan.outage)
            (self.disk / "filler").unlink()

    def no_credits(self) -> None:
        """Have an account that is empty, until somebody tops it up."""
        self.service.set(balance=-1e9)
        self._sleep(self.plan.outage)
        self.service.set()

    def raise_the_budget(self) -> None:
        """Allow what all jobs cost; half of it was allowed until now."""
        SharedJobs(self.server.dsn, QUIET).show_limits(AccountLimits(max_spend=self.plan.jobs * DEAREST))

    def crash(self) -> None:
        """Have PostgreSQL's machine fail, and come back."""
        self._restart(signal.SIGQUIT)

    def restart(self) -> None:
        """Restart PostgreSQL."""
        self._restart(signal.SIGINT)

    def stop(self) -> None:
        """Stop a worker as planned; note how long what it had stayed blocked."""
        process = self.workers.running.pop(0)
        with psycopg.connect(self.server.dsn, autocommit=True) as db:
            row = db.execute(WORKER, (f"%:{process.pid}",)).fetchone()
            process.send_signal(signal.SIGTERM)
            held: set[int] = set()
            while process.poll() is None:
                if row is not None:
                    held |= {one for (one,) in db.execute(HELD, row)}
                time.sleep(0.02)
            ended = time.monotonic()
            if row is not None and (left := db.execute(HELD, row).fetchall()):
                self.violations.append(f"{len(left)} jobs stayed with a worker that was stopped")
            while (blocked := db.execute(BLOCKED, (list(held),)).fetchone()) != (0,):
                if time.monotonic() - ended > UNBLOCKED:
                    self.violations.append(f"{blocked} of {len(held)} jobs blocked after a planned stop")
                    break
                self._sleep(0.05)
        self.workers.start()

    def until_saved(self, patience: float = 240.0) -> None:
        """Return when every job is saved, or patience ends."""
        give_up = time.monotonic() + patience
        while not _all_saved(self.server.dsn, self.plan.jobs) and time.monotonic() < give_up:
            self._sleep(0.1)

    def _restart(self, how: signal.Signals) -> None:
        self.server.stop(how)
        self._sleep(self.plan.heartbeat / 3)
        self.server.start()
        self._sleep(self.plan.heartbeat / 3)

    def _sleep(self, seconds: float) -> None:
        wake = time.monotonic() + seconds
        while (rest := wake - time.monotonic()) > 0:
            time.sleep(min(rest, 0.5))
            self.workers.tend()


def spread_out(folder: Path, plan: Plan, server: Server) -> Outcome:
    """Let workers work and die until every job is saved; return what is true then."""
    began = time.monotonic()
    job_file, output = folder / "jobs.jsonl", folder / "out"
    job_file.write_text("".join(json.dumps(_job(number)) + "\n" for number in range(plan.jobs)))
    with ExitStack() as stack:
        disk = None
        if "fill the disk" in plan.events and can_mount():
            disk = stack.enter_context(small_disk(output))
        service = SharedService(plan)
        stack.callback(service.close)
        port = urlsplit(server.dsn).port or 0
        wire = stack.enter_context(wire_to(port))
        through = server.dsn.replace(f":{port}/", f":{wire.port}/")
        share = 0.5 if "raise the budget" in plan.events else 1.0
        limits = AccountLimits(plan.cap, plan.rate, 100.0, plan.heartbeat, share * plan.jobs * DEAREST)
        SharedJobs(server.dsn, QUIET).init(limits)
        SharedJobs(server.dsn, QUIET).queue(str(job_file), ReaderOptions(), retry_failed=False)
        with psycopg.connect(server.dsn, autocommit=True) as db:
            db.execute(HISTORY)

        def command(number: int) -> list[str]:
            return _worker(plan, output, through if number % 2 else server.dsn, service.url)

        workers = Workers(command, folder / "log")
        torment = Torment(plan, server, wire, service, workers, disk, random.Random(plan.seed))
        wrong_key = ["env", _no_faults(), *_worker(plan, output, server.dsn, service.url, key="bad")]
        wrong_keys = WrongKeys(wrong_key, plan.wrong_key_every)
        try:
            with Watch(server.dsn, service) as watch, wrong_keys:
                for _ in range(plan.workers):
                    workers.start()
                torment.run()
                torment.until_saved()
        finally:
            workers.end()
        clips = len(list(output.glob("*.mp4")))
        accepted = service.accepted()
    words = (folder / "log").read_text(errors="replace")
    violations = (*watch.violations, *torment.violations)
    return Outcome(
        time.monotonic() - began, torment.kills, _stages(server.dsn), accepted["stats"],
        _bought(accepted["generations"]), clips, tuple(wrong_keys.ended), violations, workers.restarts, words,
    )  # fmt: skip


def _bought(generations: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return what the service was paid for, by the prefix of the job that it was for."""
    bought: dict[str, list[str]] = {}
    for name in sorted(one["request_id"] for one in generations if one["billed"]):
        bought.setdefault(name[:PREFIX_LENGTH], []).append(name)
    return bought


def _all_saved(dsn: str, jobs: int) -> bool:
    with suppress(psycopg.OperationalError):
        return _stages(dsn).get("saved", 0) == jobs
    return False


def _stages(dsn: str) -> dict[str, int]:
    with psycopg.connect(dsn) as db:
        return dict(db.execute("SELECT stage, count(*) FROM aimlvideo_jobs GROUP BY stage").fetchall())


def _history(dsn: str, request_ids: list[str]) -> list[str]:
    """Return the steps of the job that these were sent for."""
    steps = "SELECT * FROM history WHERE id IN (SELECT id FROM history WHERE request_id = ANY(%s)) ORDER BY at"
    with psycopg.connect(dsn) as db:
        return [f"{at:%H:%M:%S.%f} {' '.join(map(str, rest))}" for at, *rest in db.execute(steps, (request_ids,))]


def _job(number: int) -> dict[str, Any]:
    return {"id": f"job{number}", "model": MODEL, "prompt": f"clip {number}", "image_url": "https://example.com/a.png"}


def _no_faults() -> str:
    return f"HOSTILE={json.dumps({'speed': 1, 'origin': time.time()})}"


def _worker(plan: Plan, output: Path, dsn: str, url: str, key: str = "k") -> list[str]:
    settings = ["--base-url", url, "--api-key", key, "--poll", "every:0.3", "--settle", str(plan.settle)]
    program = [sys.executable, "-m", "tests.hostile.child", "--log", "info", "worker"]
    return [*program, "-o", str(output), "--dsn", dsn, *settings]


@contextmanager
def _folder(log: str | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
        if log:
            Path(log).write_text((Path(name) / "log").read_text(errors="replace"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--cap", type=int, default=60)
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--events", nargs="+", choices=EVENTS, default=list(EVENTS))
    parser.add_argument("--log", help="keep what the workers of the last seed wrote in this file")
    options = parser.parse_args()
    for seed in options.seed:
        plan = Plan(options.jobs, options.workers, options.cap, seed=seed, events=tuple(options.events))
        with _folder(options.log) as folder, postgres() as server:
            outcome = spread_out(folder, plan, server)
            for names in list(outcome.bought_twice.values())[:3]:
                print(*names, *_history(server.dsn, names), sep="\n  ")
        lost = sum(outcome.stats["answers_lost"].values())
        print(f"seed {seed}: {outcome.kills} kills in {outcome.seconds:.0f} s; {outcome.restarts} restarts after a 3")
        print(f"  stages {outcome.stages}, {outcome.clips} clips; {lost} answers were lost")
        print(f"  accepted {outcome.stats['accepted']} for {plan.jobs} jobs, bought twice: {len(outcome.bought_twice)}")
        print(f"  outstanding at the service: at most {outcome.stats['outstanding_peak']} of {plan.cap}")
        keys = {code: outcome.wrong_keys.count(code) for code in sorted(set(outcome.wrong_keys))}
        print(f"  workers with a wrong key ended with {keys}; violations: {outcome.violations[:5]}")
        fenced, settled = outcome.words.count("was given to another worker"), outcome.words.count("settled:")
        print(f"  fenced: {fenced}, settled: {settled}, tracebacks: {outcome.words.count('Traceback')}", flush=True)


if __name__ == "__main__":
    main()
