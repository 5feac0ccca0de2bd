"""Give many commands, each in a fork of one process that has loaded them: `python -m tests.cli.forked_commands`.

Standard input is a list of `[words, mode]` in JSON; standard output is a list of `[exit code, what was said]`.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module

from aimlvideo.__main__ import main
from aimlvideo.cli.app import COMMANDS, _Commands

MODES = ("closed pipe", "full disk", "no stdout", "no stderr", "nothing open", "two signals", "late signal")
PATIENCE = 20.0
LOADED_LATER = (
    "typer._adapters", "typer.rich_utils", "rich.markdown", "rich.live", "anyio._backends._asyncio", "av",
    "aimlvideo.core.services.aimlapi", "aimlvideo.cli.shared_jobs",
)  # fmt: skip
"""What most commands load when they begin: loaded once here, and not by each fork."""


def outcome(words: list[str], mode: str) -> tuple[int, str]:
    """Give one command in a process of its own whose streams are as the mode says."""
    with tempfile.TemporaryFile() as said:
        begun, begins = os.pipe()
        process = os.fork()
        if process == 0:
            _streams(mode, said.fileno())
            sys.argv = ["aimlvideo", *words]
            code = 99
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # as in every process that Python begins
                os.close(begins)
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0
            except BaseException as error:  # what would be a traceback
                os.write(said.fileno(), f"Traceback: {error!r}".encode())
            os._exit(code)
        os.close(begins)
        os.read(begun, 1)  # returns once the command begins
        os.close(begun)
        if mode in ("two signals", "late signal"):
            time.sleep(0.03 if mode == "two signals" else 0.1)
            for _ in range(2):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGINT)
        code = _wait(process)
        said.seek(0)
        return code, said.read().decode(errors="replace")


def _streams(mode: str, said: int) -> None:
    read, write = os.pipe()
    os.close(read)
    nowhere, full = os.open(os.devnull, os.O_RDWR), os.open("/dev/full", os.O_WRONLY)
    os.dup2(nowhere, 0)
    os.dup2({"closed pipe": write, "full disk": full}.get(mode, said), 1)
    os.dup2(said, 2)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    closed = {"no stdout": (1,), "no stderr": (2,), "nothing open": (0, 1, 2)}.get(mode, ())
    for number in closed:
        # Closed as a file first: from Python 3.13 on one that is dropped later says that its descriptor is bad.
        name = ("stdin", "stdout", "stderr")[number]
        getattr(sys, name).close()
        setattr(sys, name, None)


def _wait(process: int) -> int:
    for _ in range(int(PATIENCE / 0.01)):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return -9


if __name__ == "__main__":
    # Whoever started the tests may ignore signals.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for name in (*(f"{COMMANDS}.{command}" for command in _Commands.listed), *LOADED_LATER):
        with suppress(ModuleNotFoundError):  # an older Typer has fewer modules
            import_module(name)
    gc.freeze()
    json.dump([outcome(words, mode) for words, mode in json.load(sys.stdin)], sys.stdout)
