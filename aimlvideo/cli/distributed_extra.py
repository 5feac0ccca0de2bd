"""The wall around the commands of many machines: their help works without the extra that they need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from aimlvideo.errors import UsageError


@contextmanager
def distributed_extra() -> Iterator[None]:
    """Import inside this block what needs the extra. Raises UsageError where it is not installed."""
    try:
        # The first that is missing, without the extra.
        import_module("psycopg")
        yield
    except ModuleNotFoundError as error:
        raise UsageError(f"{error}: pip install 'aimlvideo[distributed]'") from error
