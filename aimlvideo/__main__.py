"""`python -m aimlvideo`, and the command `aimlvideo`."""

from __future__ import annotations

import gc
import os
import sys

FEWER_SEARCHES = 50_000
"""New objects after which Python looks for circles that nobody holds any more; its own default is 700."""


def main() -> None:
    """Run the command."""
    _leave_ascii()
    # Imports and commands make thousands of objects that stay, and hardly a circle: looking for some takes up to a
    # seventh of a start.
    gc.set_threshold(FEWER_SEARCHES)
    # `import aimlvideo.__main__` alone costs nothing.
    try:
        from aimlvideo.cli.signals import in_good_order  # noqa: PLC0415

        with in_good_order():
            from aimlvideo.cli.app import app  # noqa: PLC0415

            app()
    except KeyboardInterrupt:
        raise SystemExit(3) from None  # before anything was begun


def _leave_ascii() -> None:
    """Begin again in UTF-8 where the locale has ASCII only: prompts, ids and file names have more letters than that."""
    if os.name == "posix" and sys.getfilesystemencoding() == "ascii":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


if __name__ == "__main__":
    main()
