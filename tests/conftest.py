"""Time in the tests: a loop that jumps to the next timer when nothing is ready, unless a test is marked `real_time`."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import itertools
import logging
import os
import selectors
import shutil
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

from aimlvideo.shell import clock
from aimlvideo.shell.http.transport import CERTIFICATE_VARIABLES
from aimlvideo.shell.journal import sqlite_file
from tests.waiting import PATIENCE

STUCK = 300.0
"""Seconds after which a test that waits for ever is ended, with all others of its process."""
MEMORY = Path("/dev/shm")
ROOM = 2 * 2**30
PATIENT: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("quick", max_examples=8, **PATIENT)
settings.register_profile("suite", max_examples=20, **PATIENT)
settings.register_profile("deep", max_examples=1000, **PATIENT)
# python -m pytest --hypothesis-profile=deep tests/core looks long
settings.load_profile("suite" if "AIMLVIDEO_CI" in os.environ else "quick")
# Megabytes of zeros for each of thousands of journals take seconds; the processes that tests start keep them.
sqlite_file.RESERVE = 2**16


class JumpingSelector(selectors.DefaultSelector):
    """When nothing is ready, jump to the next timer instead of waiting for it."""

    jumped = 0.0
    grace = 0.0
    """Seconds within which a socket of this process has what its other end sent; more before a longer jump."""
    busy_threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            if ready := super().select(PATIENCE):
                return ready
            raise TimeoutError(f"no timer is set, and for {PATIENCE:g} s nothing came: what is waited for never comes")
        if timeout <= 0:
            return super().select(timeout)
        if ready := super().select(self.grace and min(0.01, self.grace + timeout / 100)):
            return ready
        if self.busy_threads:
            return super().select(0.05)
        self.jumped += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while code runs, however slow the machine is, and jumps when it waits."""

    def __init__(self, grace: float = 0.0) -> None:
        self._jump = JumpingSelector()
        self._jump.grace = grace
        self.began = time.time()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.jumped

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the last threads as long as they take: from Python 3.12 on it is 300 s, a moment in virtual time."""
        await super().shutdown_default_executor()

    def count_thread(self, change: int) -> None:
        """Note that a thread works for this loop, or has ended: time stands still for as long."""
        self._jump.busy_threads += change


def run_in_virtual_time(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine as `asyncio.run` does, for commands that begin a loop of their own."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


def wall() -> float:
    """Return what the package takes for the time of day: it goes with the loop's, so that what is noted ages there."""
    running = asyncio._get_running_loop()
    return running.began + running.time() if isinstance(running, VirtualTimeLoop) else REAL_TIME()


REAL_TIME = time.time


class RealTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on the real clock. What servers of a test have accepted is closed with it, in a handshake too."""

    def close(self) -> None:
        if not self.is_closed():
            for transport in list(self._transports.values()):  # type: ignore[attr-defined]
                # The clients' ends stay as they are: one that is left open is a fault of ours, and a warning.
                if getattr(transport, "_server", None) is not None:
                    transport.abort()
            self.call_soon(self.stop)
            self.run_forever()
        super().close()


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """Give a test virtual time, or the real clock where it asks for it."""
    if "real_time" in item.keywords:
        return {"real": RealTimeLoop}
    if "own_sockets" in item.keywords:
        return {"sockets": partial(VirtualTimeLoop, grace=0.0005)}
    return {"virtual": VirtualTimeLoop}


def pytest_configure(config: pytest.Config) -> None:
    """Leave out nothing where tests are named: they are meant.

    Let the folders of the tests, and of what they start, lie in memory where there is room: no disk is waited for.

    What is compiled is kept, whatever the environment says: many processes begin with the same modules. Keys and
    places of whoever runs the tests are no test's business; certificates that are named would be read by each client.
    """
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ.setdefault("TMPDIR", str(MEMORY))
        tempfile.tempdir = None
    is_worker = hasattr(config, "workerinput")
    if is_worker or not config.getoption("numprocesses", None):
        config.pluginmanager.register(Watch())
    if is_worker and not (config.option.durations or config.option.xmlpath):
        config.pluginmanager.register(Brief())
    named = config.args_source is pytest.Config.ArgsSource.ARGS and not hasattr(config, "workerinput")
    if named and config.option.markexpr in config.getini("addopts"):
        config.option.markexpr = ""
    own = ("AIMLAPI_API_KEY", "AIML_API_KEY", "AIMLAPI_BASE_URL", *CERTIFICATE_VARIABLES)
    for variable in (*own, "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(variable, None)
    clock.wall = wall
    sys.dont_write_bytecode = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Leave out of every later collection of garbage what the modules of the tests have made: it stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(700, 10, 100)  # all of it is looked through at the end of the last test


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Find at the end what was left open by any test: an error of the last one, where it would be said to nobody."""
    if nextitem is None:
        gc.collect()


class Watch:
    """Ends the process of a test that waits for ever, and says where it stood.

    Set at most every half minute: a thread for each test, as of pytest's own watch, costs as much as a small test.
    """

    def __init__(self) -> None:
        self._errors = os.dup(2)
        self._is_due = 0.0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Go on watching."""
        if time.monotonic() > self._is_due:
            self._is_due = time.monotonic() + STUCK / 10
            faulthandler.dump_traceback_later(1.1 * STUCK, exit=True, file=self._errors)

    def pytest_unconfigure(self) -> None:
        """End the watch."""
        faulthandler.cancel_dump_traceback_later()
        os.close(self._errors)


class Brief:
    """Tells of a test how it ended, and of its beginnings and ends only what went wrong.

    A worker sends six messages for each test, of which one says something new; to pack, unpack and hand around the
    others takes longer than most tests.
    """

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run a test as pytest does, and report what it came to."""
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            if report.when == "call" or not report.passed:
                item.ihook.pytest_runtest_logreport(report=report)
        return True


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Take one worker more than there are cores: while one waits for a process or a moment, another works."""
    return (os.cpu_count() or 1) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say of a run of all tests how many are those of every day."""
    reports = [
        one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ()) if one.when == "call"
    ]
    if reports and not config.option.markexpr and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        long = sum("quick" not in one.keywords and not {"long", "browser"}.isdisjoint(one.keywords) for one in reports)
        terminalreporter.write_line(f"{len(reports) - long} tests of every day, {long} long ones")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal the tests to the workers, each of which begins with an equal part of the list and then takes from others.

    One worker has those that need a database, another one those that need a browser: each is started once. A worker
    begins with what takes longest, so that none of it is left alone at the end.
    """
    shares: list[list[pytest.Item]] = [[] for _ in range(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))]
    others: list[pytest.Item] = []
    modules: dict[Any, int] = {}
    for item in items:
        if needs_database(item):
            shares[0].append(item)
        elif "browser" in item.keywords:
            shares[1 % len(shares)].append(item)
        elif "long" in item.keywords:
            shares[-1 - modules.setdefault(item.path, len(modules)) % len(shares)].append(item)
        else:
            others.append(item)
    for left, share in zip(range(len(shares), 0, -1), shares, strict=True):
        count = max((len(others) + sum(map(len, shares[-left:]))) // left - len(share), 0)
        share.extend(others[:count])
        del others[:count]
    items[:] = [item for share in (*shares, others) for item in share]
    for item in items:
        if "own_sockets" in item.keywords and "real_time" not in item.keywords:
            item.fixturenames.append("own_sockets")  # type: ignore[attr-defined]


def needs_database(item: pytest.Item) -> bool:
    """Tell whether a test needs a PostgreSQL: by its fixtures, or by the kind of journal that it is one case of."""
    case = getattr(item, "callspec", None)
    return "server" in getattr(item, "fixturenames", ()) or (case is not None and "postgres" in case.params.values())


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """Give a PostgreSQL that several tests share; one that restarts its server brings its own."""
    from tests.postgres_server import postgres

    with postgres() as server:
        yield server


@pytest.fixture
def empty_database(server: Any) -> Iterator[str]:
    """Give the address of a database with nothing in it."""
    with server.database("template0") as address:
        yield address


@pytest.fixture(scope="session")
def lender(server: Any) -> Iterator[Any]:
    """Give what lends a database with all tables of the workers to one test after the other."""
    from aimlvideo.cli.shared_jobs import SharedJobs
    from aimlvideo.cli.terminal import Terminal
    from tests.postgres_server import Lender

    with server.database("template0") as address:
        # In a thread: whoever asks first may do so in a running event loop.
        with ThreadPoolExecutor(1) as threads:
            threads.submit(SharedJobs(address, Terminal(quiet=True)).init).result()
        with closing(Lender(server, address.rpartition("/")[2])) as lender:
            yield lender


@pytest.fixture
def dsn(lender: Any) -> Iterator[str]:
    """Give the address of a database with our tables and nothing in them."""
    with lender.database() as address:
        yield address


@pytest.fixture
def own_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both ends of a socket, and all threads, live in the virtual time of one loop."""
    run_sync, submit = anyio.to_thread.run_sync, ThreadPoolExecutor.submit

    async def counted(*args: Any, **options: Any) -> Any:
        loop = asyncio.get_running_loop()
        loop.count_thread(1)  # type: ignore[attr-defined]
        try:
            return await run_sync(*args, **options)
        finally:
            loop.count_thread(-1)  # type: ignore[attr-defined]

    def submitted(self: ThreadPoolExecutor, *args: Any, **options: Any) -> Any:
        loop, future = asyncio._get_running_loop(), submit(self, *args, **options)
        if isinstance(loop, VirtualTimeLoop):
            loop.count_thread(1)
            future.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.count_thread, -1))
        return future

    monkeypatch.setattr(anyio.to_thread, "run_sync", counted)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", submitted)
    monkeypatch.setattr(time, "time", wall)


HOMES = itertools.count()


@pytest.fixture(autouse=True)
def isolated_user_dirs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what tests learn, and what they refresh, out of the user's folders."""
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(HOMES))  # made by whoever writes into it
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home / name))
    monkeypatch.setattr(logging.getLogger("aimlvideo"), "level", logging.NOTSET)  # the command sets it for its process
