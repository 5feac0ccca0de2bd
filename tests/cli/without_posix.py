"""Give a command as a system without POSIX would: `python -m tests.cli.without_posix WORDS...`.

What Windows lacks is taken away before anything of the package is loaded. It is no Windows: paths, locks and sockets
are still this system's. Without words, standard input is a list of commands in JSON: each is given in a fork of this
process, which has loaded what they load, and standard output is a list of exit codes, and of what was written to both
streams, in hexadecimal digits.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder

HIDDEN = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "curses", "uvloop")
OF_OS = (
    "getuid", "geteuid", "getgid", "fchmod", "fchown", "chown", "fork", "pread", "pwrite", "posix_fallocate",
    "fdatasync", "statvfs", "fstatvfs", "O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "mkfifo", "sysconf", "nice", "killpg",
    "getloadavg", "sched_getaffinity",
)  # fmt: skip
OF_SIGNAL = ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "SIGCHLD", "alarm", "setitimer")


class Hiding(MetaPathFinder):
    """Finds nothing, and says so, for the modules that only POSIX has."""

    def __init__(self, keep: tuple[str, ...]) -> None:
        self._keep = keep

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname in HIDDEN and fullname not in self._keep:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def hide_posix(keep: tuple[str, ...] = ()) -> None:
    """Take away what Windows does not have, but for these names."""
    # What chooses by the system's name needs some of it, and is loaded before.
    import asyncio  # noqa: F401
    import tempfile  # noqa: F401

    import platformdirs.unix  # noqa: F401

    for name in HIDDEN:
        if name not in keep:
            sys.modules.pop(name, None)
    sys.meta_path.insert(0, Hiding(keep))
    for module, names in ((os, OF_OS), (signal, OF_SIGNAL)):
        for name in names:
            if name not in keep and hasattr(module, name):
                delattr(module, name)
    # It reads one of those from Python 3.13 on, and does not where there is no POSIX.
    if hasattr(os, "process_cpu_count"):
        os.process_cpu_count = os.cpu_count


def draw_few_pictures() -> None:
    """Let the sandbox's films have two pictures a second: how they look is tested elsewhere."""
    from aimlvideo.sandbox.film import encode, montage

    montage.FPS = 2
    encode.write_clip.__kwdefaults__["fps"] = 2


def load_commands() -> None:
    """Load what most commands load when they are given."""
    from aimlvideo.cli.app import COMMANDS

    for name in ("check", "generate", "init", "join", "report", "resume", "run", "status"):
        import_module(f"{COMMANDS}.{name}")
    for name in ("typer._adapters", "aimlvideo.core.services.aimlapi", "aimlvideo.views.report.report_file"):
        import_module(name)
    gc.freeze()


def give(words: Sequence[str]) -> None:
    """Give a command in this process, which it ends."""
    from aimlvideo.__main__ import main

    if "demo" in words:
        draw_few_pictures()
    sys.argv = ["aimlvideo", *words]
    main()


def give_in_fork(words: Sequence[str], fork: Callable[[], int]) -> tuple[int, str, str]:
    """Give a command in a process of its own; return how it ended, and what it wrote."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = fork()
        if process == 0:
            for number, file in enumerate((output, errors), start=1):
                os.dup2(file.fileno(), number)
            give(words)
            sys.exit()
        _, status = os.waitpid(process, 0)
        written = []
        for file in (output, errors):
            file.seek(0)
            written.append(file.read().hex())
        return os.waitstatus_to_exitcode(status), *written


if __name__ == "__main__":
    fork = os.fork
    hide_posix()
    if sys.argv[1:]:
        give(sys.argv[1:])
    else:
        commands = json.load(sys.stdin)
        load_commands()
        json.dump([give_in_fork(words, fork) for words in commands], sys.stdout)
