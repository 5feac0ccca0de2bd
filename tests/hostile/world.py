"""One folder, one service and one machine, on all of which everything goes wrong; and what must be true in the end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aimlvideo.core.jobs.progress import Attempt
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import VideoError
from aimlvideo.sandbox.behaviour import HOSTILE, STATIONS
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.hostile.network import Wire, wire_to

ROOT = Path(__file__).parents[2]
MODELS = {"aimlapi": "kling-video/v1.6/pro/image-to-video", "kling": "kling-v1-6", "kling-official": "kling-v1-6"}
KEYS = {"aimlapi": "sk-hostile-0123456789abcdef", "kling": "sk-hostile-0123456789abcdef", "kling-official": "ak:sk"}
PASSING = {
    "rate_limited": 0.2, "unavailable": 0.2, "error_before": 0.2, "error_after": 0.2, "dropped": 0.2,
    "poll_rate_limited": 0.2, "poll_error": 0.3, "poll_dropped": 0.3, "unknown_status_words": 0.5, "status_error": 0.2,
    "moderation": 0.2, "late_1303": 0.2, "odd_errors": 1.0, "dead_link": 0.5, "cut_download": 0.5, "error_page": 0.5,
    "slow_trickle": 0.3, "several_clips": 0.5,
}  # fmt: skip
"""What sound services do too, and how often at most."""
ENDS = ("kill", "kill", "term", "int int", "hup", "natural", "natural", "natural")
CALM = {"seconds": "lognormal:60,0.3", "hostile_at": list(STATIONS)}
SPEED = 30.0
"""Seconds that pass here in one of the wall."""
MOST_MEMORY = 400
"""MB that one process may take at its peak: four answers of 16 MB at a time, and a part of every other one."""
MOST_DESCRIPTORS = 700
"""Files and sockets that one process may have open: 256 connections twice, 8 downloads, a journal."""
STUCK = 400.0
"""Seconds of the wall after which a process that does not end is a finding."""


@dataclass
class Totals:
    """What all episodes came to."""

    episodes: int = 0
    processes: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    contained: int = 0
    memory: int = 0
    descriptors: int = 0
    findings: list[str] = field(default_factory=list)


class Service:
    """A sandbox in a process of its own, in fast time."""

    def __init__(self, speed: float, origin: float, seed: int) -> None:
        environment = {**os.environ, "HOSTILE": json.dumps({"speed": speed, "origin": origin})}
        command = [sys.executable, "-m", "tests.hostile.service"]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._seed = seed
        self.port = urlsplit(self._answer()["url"]).port or 0

    def set(self, **settings: Any) -> None:
        """Have it behave otherwise."""
        self._ask({"set": {"seed": self._seed, **settings}})

    def accepted(self) -> dict[str, Any]:
        """Return all that it has accepted, and its counts."""
        return self._ask({"list": True})

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the sandbox has ended: {self._process.communicate()[1][-3000:]}")
        return dict(json.loads(line))


@dataclass
class Episode:
    """A job file run to its end through everything that may happen; each process of it has faults of its own."""

    seed: int
    folder: Path
    totals: Totals
    jobs: int = 12
    processes: int = 4
    speed: float = SPEED
    full_disks: bool = True

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.service_name = self.chance.choice([*MODELS])
        self.output = self.folder / "out"
        self.origin = time.time()
        self.log = self.folder / "said.txt"

    def run(self) -> None:
        """Live through it, and see what is true in the end."""
        pictures = {"image_url": "https://example.com/a.png"} if self.service_name == "aimlapi" else {}
        lines = [
            {"id": f"j{n}", "model": MODELS[self.service_name], "prompt": f"{n}", "duration": 5, **pictures}
            for n in range(self.jobs)
        ]
        (self.folder / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.totals.episodes += 1
        with ExitStack() as stack:
            service = Service(self.speed, self.origin, self.seed)
            stack.callback(service.close)
            wire = stack.enter_context(wire_to(service.port))
            disk = stack.enter_context(small_disk(self.output)) if self._has_small_disk() else None
            for _ in range(self.processes):
                service.set(**self._behaviour())
                self._process(wire, disk, ends=self.chance.choice(ENDS))
            service.set(**CALM)
            wire.mend()
            for _ in range(3):  # what waits in doubt for its log may take more than one
                if self._process(wire, None, ends="natural", calm=True) in (0, 1):
                    break
            try:
                self._judge(service.accepted())
            except VideoError as error:
                self._find(f"in the end: {type(error).__name__}: {error}")

    def _has_small_disk(self) -> bool:
        return self.full_disks and self.chance.random() < 0.4

    def _behaviour(self) -> dict[str, Any]:
        """Return a service with some kinds of trouble, of the sound and of the hostile sort."""
        hostile = self.chance.sample(HOSTILE, self.chance.randint(0, 4))
        sound = self.chance.sample([*PASSING], self.chance.randint(0, 4))
        return {
            "seconds": self.chance.choice(["lognormal:60,0.5", "uniform:10,200", 30]),
            "latency": self.chance.choice([0.0, 0.0, 0.5, 3.0]),
            "log_delay": self.chance.choice([0.0, 20.0]),
            "max_concurrent": self.chance.choice([None, None, 3]),
            "hostile_at": self.chance.sample(STATIONS, self.chance.randint(1, len(STATIONS))),
            **{name: round(self.chance.choice([0.05, 0.3, 0.9]), 2) for name in hostile},
            **{name: PASSING[name] * self.chance.random() for name in sound},
        }

    def _faults(self) -> dict[str, Any]:
        faults: dict[str, Any] = {}
        if self.chance.random() < 0.3:
            faults["descriptors"] = self.chance.choice([28, 40, 64])
        if self.chance.random() < 0.3:
            faults["clock_steps"] = [-86_400.0, -3600.0, -60.0, 0.0, 60.0, 3600.0, 30 * 86_400.0]
        return faults

    def _command(self, port: int) -> list[str]:
        """Return a command that goes on: by the job file, or by the folder."""
        common = ["--base-url", f"http://127.0.0.1:{port}", "--api-key", KEYS[self.service_name], "--timeout", "1200"]
        way = self.chance.random()
        if way < 0.25 and (self.output / "journal.sqlite3").exists():
            command = ["resume", str(self.output), *common]
        else:
            command = ["run", str(self.folder / "jobs.jsonl"), "-o", str(self.output), *common]
            command += ["--service", self.service_name, "--anyway"]
        command += self.chance.choice([[], ["--poll", "every:15"], ["--rate", "50"], ["--max-outstanding", "auto"]])
        return [sys.executable, "-m", "tests.hostile.child", *command, "--quiet"]

    def _process(self, wire: Wire, disk: Path | None, *, ends: str, calm: bool = False) -> int:
        """Run one process to its end, or end it; return its exit code."""
        faults = {} if calm else self._faults()
        environment = {
            **os.environ,
            "HOSTILE": json.dumps({"speed": self.speed, "origin": self.origin, "seed": self.seed, **faults}),
            "PYTHONIOENCODING": self.chance.choice(["utf-8", "cp1252", "latin-1", "ascii"]),
        }
        self.totals.processes += 1
        with self.log.open("ab") as said:
            begins = said.tell()
            command = self._command(wire.port)
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
            self._watch(process, wire, disk, ends, calm=calm)
        code = process.returncode
        self.totals.endings[f"{ends}: {code}"] += 1
        words = self.log.read_bytes()[begins:].decode(errors="replace")
        self._read(words, code, ends, f"{ends} {faults} {' '.join(command[3:])}")
        return code

    def _watch(self, process: subprocess.Popen[bytes], wire: Wire, disk: Path | None, ends: str, *, calm: bool) -> None:
        """Let a process go on for a while, with cuts and a disk that fills, and end it; or wait until it ends."""
        began = time.monotonic()
        end_at = began + self.chance.uniform(0.5, 12) if ends != "natural" else began + STUCK
        while process.poll() is None and time.monotonic() < end_at:
            time.sleep(0.1)
            self._measure(process.pid)
            if not calm and self.chance.random() < 0.02:
                wire.cut()
                time.sleep(self.chance.uniform(0.05, 2))
                wire.mend()
            if disk is not None and self.chance.random() < 0.03:
                filled(disk, free=self.chance.choice([0, 10_000, 2**22]))
            if disk is not None and self.chance.random() < 0.05:
                (disk / "filler").unlink(missing_ok=True)
        if disk is not None:
            (disk / "filler").unlink(missing_ok=True)
        if process.poll() is not None:
            return
        if ends == "natural":
            self._find(f"a process did not end within {STUCK:g} s of the wall: {process.args!r}")
            process.send_signal(signal.SIGKILL)
        for number in {
            "kill": [signal.SIGKILL], "term": [signal.SIGTERM], "hup": [signal.SIGHUP],
            "int int": [signal.SIGINT, signal.SIGINT],
        }.get(ends, []):  # fmt: skip
            process.send_signal(number)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            self._find(f"a process did not end after {ends}: {process.args!r}")
            process.kill()
            process.wait(20)

    def _measure(self, pid: int) -> None:
        with contextlib.suppress(OSError, StopIteration, ValueError):
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            status = Path(f"/proc/{pid}/status").read_text()
            peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024
            if peak > MOST_MEMORY >= self.totals.memory:
                self._find(f"a process took {peak} MB")
            if descriptors > MOST_DESCRIPTORS >= self.totals.descriptors:
                self._find(f"a process had {descriptors} files open")
            self.totals.memory = max(self.totals.memory, peak)
            self.totals.descriptors = max(self.totals.descriptors, descriptors)

    def _read(self, words: str, code: int, ends: str, what: str) -> None:
        """Look at what a process said, and with what it ended."""
        contained = words.count("unexpected error: job")
        self.totals.contained += contained
        if "Traceback" in words:
            self._find(f"a traceback ({contained} contained) after {what}: {last_error(words)}")
        if any(ord(letter) < 32 and letter not in "\n\t\r" for letter in words) or "\x9b" in words:
            self._find(f"control characters on the screen after {what}")
        if any(key in words for key in KEYS.values() if len(key) > 8):
            self._find(f"the key on the screen after {what}")
        # Before it listens to signals, and after its work is done, a signal ends a process as it ends any.
        too_early = "Traceback" not in words and -code in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
        if code not in (0, 1, 3, -signal.SIGKILL) and not too_early:
            self._find(f"exit code {code} after {what}: {words[-300:]!r}")

    def _judge(self, at_service: dict[str, Any]) -> None:
        """See that everything accepted is saved or named, and nothing was bought twice."""
        generations, stats = at_service["generations"], at_service["stats"]
        self.totals.accepted += len(generations)
        if stats["key_leaks"]:
            self._find("the key went to the file host")
        if not (self.output / "journal.sqlite3").exists():
            if generations:
                self._find("clips were bought, and there is no journal")
            return
        with read_journal(self.output / "journal.sqlite3") as journal:
            records = {record.job.id: record for record in (*journal.ended_jobs(), *journal.open_jobs())}
            attempts = {name: journal.attempts(name) for name in records}
        self.totals.stages.update(record.progress.stage.value for record in records.values())
        for name, (_, progress) in records.items():
            if progress.stage is Stage.SAVED and not (self.output / (progress.file or "")).is_file():
                self._find(f"{name} is saved, and its file is not there")
        rows = (self.output / "results.jsonl").read_text().splitlines() if records else []
        ended = {row["id"] for row in map(json.loads, rows)}
        for name, (_, progress) in records.items():
            if progress.stage in (Stage.SAVED, Stage.FAILED) and name not in ended:
                self._find(f"{name} is {progress.stage}, and no line of results.jsonl says so")
        self._judge_purchases(generations, attempts)

    def _judge_purchases(self, generations: list[dict[str, Any]], attempts: dict[str, list[Attempt]]) -> None:
        owner = {attempt.request_id: name for name, some in attempts.items() for attempt in some}
        named = {attempt.generation_id for some in attempts.values() for attempt in some}
        doubted = {a.request_id for some in attempts.values() for a in some if a.generation_id is None}
        billed = Counter(owner.get(one["request_id"]) for one in generations if one["billed"])
        for one in generations:
            if one["request_id"] not in owner:
                self._find(f"the journal does not know the request {one['request_id']} of generation {one['id']}")
            elif one["id"] not in named and one["request_id"] not in doubted and one["billed"]:
                self._find(f"generation {one['id']} of {owner[one['request_id']]} is named nowhere")
        for name, times in billed.items():
            if times > 1:
                self._find(f"{name} was bought {times} times: {attempts.get(name or '', ())}")

    def _find(self, what: str) -> None:
        self.totals.findings.append(f"seed {self.seed}: {what}")
        with (self.folder / "findings.txt").open("a") as findings:
            findings.write(f"{what}\n")


def last_error(words: str) -> str:
    """Return the last lines of the last traceback."""
    lines = words[words.rindex("Traceback") :].splitlines()
    places = [line.strip() for line in lines if line.strip().startswith("File ")][-2:]
    error = next((line for line in lines[1:] if line and not line.startswith((" ", "Traceback"))), "")
    return f"{error[:200]} ({'; '.join(places)})"


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Have a folder on a disk of 12 MB; it takes root's rights to mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield folder
    finally:
        kept = folder.with_name("kept")
        shutil.copytree(folder, kept, dirs_exist_ok=True)
        subprocess.run(["umount", "-l", str(folder)], check=True)


def filled(disk: Path, free: int) -> None:
    """Fill a disk but for `free` bytes."""
    space = os.statvfs(disk)
    room = space.f_bavail * space.f_frsize - free
    with contextlib.suppress(OSError), (disk / "filler").open("ab") as filler:
        filler.write(b"\0" * max(room, 0))


def can_mount() -> bool:
    """Tell whether small disks can be had here."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("mount") is not None
