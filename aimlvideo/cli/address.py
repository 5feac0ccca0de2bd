"""Where a board is asked for: `--board`, `--board PORT`, `--board HOST:PORT`."""

from __future__ import annotations

from collections.abc import Sequence

from aimlvideo.errors import UsageError

Address = tuple[str, int]


def address(text: str | None) -> Address | None:
    """Read `PORT` or `HOST:PORT` of `--board`; None where no board was asked for. Raises UsageError."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--board is {text!r}: expected PORT or HOST:PORT")
    return host or "127.0.0.1", int(port)


def spelled_out(words: Sequence[str]) -> list[str]:
    """Return a command's words in which a bare `--board` says that any free port will do."""
    said = [*words]
    for at, word in enumerate(words):
        after = words[at + 1] if at + 1 < len(words) else ""
        if word == "--board" and not after.rpartition(":")[2].isdecimal():
            said[at] = "--board=0"
    return said
