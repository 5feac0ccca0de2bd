"""`python -m aimlvideo`, and the command `aimlvideo`."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command."""
    try:
        try:
            _leave_ascii()
            # `import aimlvideo.__main__` alone costs nothing.
            from aimlvideo.cli.signals import AT_START, in_good_order  # noqa: PLC0415

            gc.set_threshold(AT_START)
            with in_good_order():
                from aimlvideo.cli.app import app  # noqa: PLC0415

                app()
        finally:
            # An interruption in text that was executed, as for a dataclass, is remembered until text is executed again,
            # and `python -m` would end by that signal, whatever the exit code.
            exec("")
            # Python would look through all objects once more at its end, and the process takes them along anyway.
            gc.freeze()
    except KeyboardInterrupt:
        raise SystemExit(3) from None  # before anything was begun; a second one in the lines above, too
    except SystemExit as end:
        # Typer's own code for an interruption, as while it says what is wrong with the words of a command.
        raise SystemExit(3 if end.code == 130 else end.code) from None


def _leave_ascii() -> None:
    """Begin again in UTF-8 where the locale has ASCII only: prompts, ids and file names have more letters than that."""
    if os.name == "posix" and sys.getfilesystemencoding() == "ascii":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


if __name__ == "__main__":
    main()
