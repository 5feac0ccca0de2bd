"""Jobs a second, and CPU a job, of 1, 2 and 4 workers on one machine, beside one process without the queue.

    python -m benchmarks.distributed [--jobs 20000] [--seconds 2] [--cap 2000] [--workers 1 2 4]

The service is a loopback server that costs as little as it can: a generation takes `--seconds`, a clip has 1 KB. The
workers, the service and PostgreSQL share the machine, so on a small one the jobs a second stop growing when its cores
are busy; the CPU a job is what to reckon with. `ratio` is jobs a second, `CPU ratio` what one process uses beside what
the workers use, PostgreSQL apart; its part of all CPU is its `share`. PostgreSQL is started by this program (see
tests/postgres_server.py).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loopback import Loopback
from tests.postgres_server import Server, postgres

MODEL = "kling-video/v1.6/pro/image-to-video"
CLIP = b"\0\0\0\x18ftypmp42" + bytes(1012)
TICK = os.sysconf("SC_CLK_TCK")


class Service(Loopback):
    """Generations that take a while, and clips."""

    seconds = 2.0
    port = 0
    began: dict[bytes, float] = {}  # noqa: RUF012 - one service a process

    def _answer(self, head: bytes) -> None:
        what, path, _ = head.split(b" ", 2)
        if what == b"post":
            Loopback.count += 1
            name = b"gen-%d" % Loopback.count
            self.began[name] = time.monotonic()
            self._say(b'{"id":"%s","status":"queued"}' % name)
        elif path.startswith(b"/clip"):
            self._send(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % len(CLIP) + CLIP)
        elif b"generation_id=" in path:
            name = path.split(b"generation_id=", 1)[-1]
            if time.monotonic() - self.began[name] < self.seconds:
                self._say(b'{"id":"%s","status":"generating"}' % name)
            else:
                link = b"http://127.0.0.1:%d/clip.mp4?%s" % (self.port, name)
                usage = b'"meta":{"usage":{"credits_used":500000}}'
                self._say(b'{"id":"%s","status":"completed","video":{"url":"%s"},%s}' % (name, link, usage))
        else:
            self._send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")

    def _say(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._send(head + body)


async def serve(seconds: float) -> None:
    """Serve until the process is ended; print the port."""
    Service.seconds = seconds
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0, backlog=1024)
    Service.port = server.sockets[0].getsockname()[1]
    print(Service.port, flush=True)
    await server.serve_forever()


@contextmanager
def service(seconds: float) -> Iterator[str]:
    """Give the URL of a service in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.distributed", "--serve", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.terminate()


@dataclass(frozen=True)
class Figures:
    """What one arm took. CPU is in seconds."""

    seconds: float
    client_cpu: float
    database_cpu: float

    def row(self, name: str, jobs: int, alone: Figures) -> str:
        """Return a line of the table; `alone` is one process without the queue."""
        per_job = "".join(f"{1000 * cpu / jobs:10.2f}" for cpu in (self.client_cpu, self.database_cpu))
        share = self.database_cpu / (self.client_cpu + self.database_cpu)
        speed, thrift = alone.seconds / self.seconds, alone.client_cpu / self.client_cpu
        return f"{name:<14}{jobs / self.seconds:8.0f}{speed:8.2f}{per_job}{share:10.0%}{thrift:10.2f}"


def one_process(folder: Path, jobs: Path, told: list[str]) -> Figures:
    """Run the job file with one process and no database."""
    return _timed([[*_aimlvideo(), "run", str(jobs), "-o", str(folder / "alone"), *told]], None)


def many(folder: Path, jobs: Path, told: list[str], workers: int, server: Server) -> Figures:
    """Run the job file with workers on a fresh database."""
    import psycopg

    name = f"with{workers}"
    with psycopg.connect(server.dsn, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")
    dsn = ["--dsn", server.dsn.rpartition("/")[0] + f"/{name}"]
    subprocess.run([*_aimlvideo(), "db", "init", *dsn], check=True, stdout=subprocess.DEVNULL)
    began = time.monotonic()
    subprocess.run([*_aimlvideo(), "enqueue", str(jobs), *dsn], check=True, stdout=subprocess.DEVNULL)
    print(f"    queued in {time.monotonic() - began:.1f} s, checking included", flush=True)
    command = [*_aimlvideo(), "worker", "-o", str(folder / name), "--until-empty", *dsn, *told]
    return _timed([command] * workers, server)


def _timed(commands: list[list[str]], server: Server | None) -> Figures:
    began, database = time.monotonic(), cpu_of(server)
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    cpu = 0.0
    for process in running:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"exit code {process.returncode}"
        cpu += used.ru_utime + used.ru_stime
    return Figures(time.monotonic() - began, cpu, cpu_of(server) - database)


def cpu_of(server: Server | None) -> float:
    """Return the CPU seconds that PostgreSQL has used, ended processes included."""
    if server is None:
        return 0.0
    total = _ticks(server.pid, ended=True)
    for child in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
        total += _ticks(int(child), ended=False)
    return total / TICK


def _ticks(pid: int, *, ended: bool) -> int:
    try:
        figures = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(figure) for figure in figures[11 : 15 if ended else 13])


def _aimlvideo() -> list[str]:
    return [sys.executable, "-m", "aimlvideo"]


def _job(number: int) -> str:
    job = {"id": f"job{number}", "model": MODEL, "prompt": f"clip {number}", "image_url": "https://example.com/a.png"}
    return json.dumps(job) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20000)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--cap", type=int, default=2000)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve(given.serve))
        return
    limits = ["--max-outstanding", str(given.cap), "--rate", "2000", "--poll-rate", "5000"]
    with tempfile.TemporaryDirectory() as name, postgres() as server, service(given.seconds) as url:
        folder, jobs = Path(name), Path(name) / "jobs.jsonl"
        jobs.write_text("".join(map(_job, range(given.jobs))))
        told = ["--base-url", url, "--api-key", "k", "--poll", f"every:{given.seconds + 0.05}", "--quiet", *limits]
        print(f"{'':14}{'':>16}{'CPU ms a job':>20}{'database':>10}", flush=True)
        print(
            f"{'':14}{'jobs/s':>8}{'ratio':>8}{'client':>10}{'database':>10}{'share':>10}{'CPU ratio':>10}", flush=True
        )
        alone = one_process(folder, jobs, told)
        print(alone.row("one process", given.jobs, alone), flush=True)
        for workers in given.workers:
            figures = many(folder, jobs, told, workers, server)
            print(figures.row(f"{workers} worker{'s' * (workers > 1)}", given.jobs, alone), flush=True)


if __name__ == "__main__":
    main()
