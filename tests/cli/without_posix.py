"""Give a command as a system without POSIX would: `python -m tests.cli.without_posix WORDS...`.

What Windows lacks is taken away before anything of the package is loaded. It is no Windows: paths, locks and sockets
are still this system's.
"""

from __future__ import annotations

import os
import signal
import sys
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


if __name__ == "__main__":
    hide_posix()
    from aimlvideo.__main__ import main

    if "demo" in sys.argv:
        draw_few_pictures()
    sys.argv = ["aimlvideo", *sys.argv[1:]]
    main()
