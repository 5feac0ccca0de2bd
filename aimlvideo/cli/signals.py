"""How a run ends from outside: one way for Ctrl-C, SIGTERM and a closed terminal; and a reader that goes away."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from aimlvideo.shell.descriptors import NO_ROOM

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

TOGETHER = 0.5
"""Seconds within which a second signal is the first one, sent on by a launcher."""
INTERRUPTED = 3
"""The exit code of a run that was ended before all its jobs had."""
UNWRITABLE = (errno.EPIPE, errno.EBADF, errno.EINVAL, *NO_ROOM)
"""How writing to a stream fails that nobody reads, or that leads to a full disk or a closed terminal."""
AT_START, IN_A_RUN = 1_000_000, 50_000
"""New objects after which Python looks for circles that nobody holds any more; its own default is 700.

Imports make thousands of objects that stay, and hardly a circle: looking for some takes up to a seventh of a start.
"""
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""The signals that end a run, of those that the system has."""


def _ending_signals() -> list[int]:
    """Return the signals that end a run; `nohup` has SIGHUP ignored."""
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


class _Heard:
    """Does something at the first signal, and ends the process at once at a later one: all ids are on disk.

    Where none came, signals do `afterwards` what they did before, or what is given here.
    """

    def __init__(self, at_first: Callable[[], object], afterwards: Any = None) -> None:
        self._at_first = at_first
        self._afterwards = afterwards
        self._first: float | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in _ending_signals():
            # Not in the main thread: whoever runs us there sees to its signals.
            with suppress(ValueError):
                self._before[number] = signal.signal(number, self._on_signal)

    def __exit__(self, *_: object) -> None:
        # Once a signal came, they stay: a summary and a page are still written, and a signal that comes then must not
        # end that with a traceback.
        for number, handler in self._before.items() if self._first is None else ():
            signal.signal(number, self._afterwards or handler)

    def _on_signal(self, *_: Any) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
            self._at_first()
        elif now - self._first > TOGETHER:
            # A launcher (npx, uv, a shell in a container) passes Ctrl-C on that the terminal has sent to us too: that
            # is no second wish.
            with suppress(OSError):
                # Not `print`: a signal may come in the middle of another write to the same stream.
                os.write(2, b"ended at once; every id is kept: give the same command again\n")
            # Not `sys.exit`: that waits for threads, one of which may be what the person does not want to wait for.
            os._exit(INTERRUPTED)


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine to its end. SIGTERM and SIGHUP end it as Ctrl-C does."""
    import asyncio  # noqa: PLC0415 - not for `--help`

    # Not in a program that calls us, which sees to its own.
    if gc.get_threshold()[0] == AT_START:
        gc.freeze()  # what the start has made stays: it need not be looked through again and again
        gc.set_threshold(IN_A_RUN)

    task: asyncio.Task[T] | None = None
    is_interrupted = False

    async def run() -> T:
        nonlocal task
        task = asyncio.current_task()
        if is_interrupted:
            cancel()
        return await work

    def cancel() -> None:
        nonlocal is_interrupted
        is_interrupted = True
        if task is not None:
            # The loop is closed: the run has ended by itself.
            with suppress(RuntimeError):
                task.get_loop().call_soon_threadsafe(task.cancel)

    # Around the loop's own beginning and closing too: an exception in the middle of these leaves half a loop, and tasks
    # that never clean up.
    with _Heard(cancel):
        try:
            return asyncio.run(run())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Let each signal that ends a run end the block at once: nothing else ends a question while nobody answers it."""
    before = {}
    for number in _ending_signals():
        with suppress(ValueError):  # not in the main thread
            before[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def in_good_order() -> Iterator[None]:
    """Run the command: a signal, and output that nobody takes, end it with 3 and without a traceback.

    When it has ended, no signal changes how.
    """
    _fill_closed_streams()
    sys.unraisablehook = _end_if_interrupted
    with _Heard(_interrupt, afterwards=signal.SIG_IGN):
        try:
            with output_or_end():
                yield
        finally:
            # Here, because Python's own flush at its very end can only complain.
            with output_or_end():
                _flush()


@contextmanager
def output_or_end() -> Iterator[None]:
    """End the command with 3 where it was interrupted, or where what it says can be written nowhere."""
    try:
        yield
    except KeyboardInterrupt:
        _say_interrupted()
        raise SystemExit(INTERRUPTED) from None
    except RuntimeError as error:
        # So Python 3.11 names an interruption in the middle of some imports.
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise SystemExit(INTERRUPTED) from None
        raise
    except SystemExit as end:
        # What prints the help has an exit code of its own for a pipe that is closed.
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        silence_output()
        raise SystemExit(INTERRUPTED) from None
    except ModuleNotFoundError as error:
        _refuse_python(error)
        raise
    except OSError as error:
        _refuse_key_log(error)
        # All files are written behind errors of ours: what comes up to here is a stream that nobody takes.
        if error.errno not in UNWRITABLE:
            raise
        with suppress(OSError, ValueError):
            if error.errno != errno.EPIPE:
                os.write(2, f"error: the output cannot be written: {error.strerror}\n".encode())
        silence_output()
        raise SystemExit(INTERRUPTED) from None


def _refuse_python(error: ModuleNotFoundError) -> None:
    """End the command with 2 where Python lacks a part of its own, as where it was built without SQLite."""
    if error.name in sys.stdlib_module_names:
        expected = "expected one with its whole standard library. Install what that needs and build it anew"
        os.write(2, f"error: this Python was built without {error.name}: {expected}, or use another\n".encode())
        raise SystemExit(2) from None


def _refuse_key_log(error: OSError) -> None:
    """End the command with 2 where a library that speaks TLS cannot be loaded: it opens this file, whoever named it."""
    name = os.environ.get("SSLKEYLOGFILE")
    if name and error.filename == name:
        expected = "expected a file that can be written. Correct it, or unset it"
        os.write(2, f"error: SSLKEYLOGFILE is {name!r}: {error.strerror}; {expected}\n".encode(errors="replace"))
        raise SystemExit(2) from None


def _interrupt() -> None:
    raise KeyboardInterrupt


def _end_if_interrupted(ignored: sys.UnraisableHookArgs) -> None:
    """End the process where a signal came in code that lets no exception out, as what deletes an object."""
    if isinstance(ignored.exc_value, KeyboardInterrupt):
        _say_interrupted()
        os._exit(INTERRUPTED)
    sys.__unraisablehook__(ignored)


def _say_interrupted() -> None:
    with suppress(OSError):
        os.write(2, b"interrupted: give the same command again\n")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # Python has None for a stream that was closed before it began.
        if stream is not None and not stream.closed:
            stream.flush()


def _fill_closed_streams() -> None:
    """Have something behind the numbers 0, 1 and 2: the next file that is opened would be written into otherwise."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as we live


def silence_output() -> None:
    """Have what is still written to streams that nobody reads go nowhere."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            try:
                stream.flush()
            except OSError:
                # At exit Python flushes its streams: into a closed pipe that would print an error after everything has
                # been said.
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
