"""Another try after a failure that may pass (the one place that knows the `backoff` library)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar, cast

import backoff

from aimlvideo.errors import DownloadFailed, NotAccepted

T = TypeVar("T")


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    *,
    on: tuple[type[Exception], ...],
    unless: tuple[type[Exception], ...] = (),
    tries: int = 5,
) -> T:
    """Return what `attempt` gives, tried up to `tries` times while it raises one of `on` and none of `unless`.

    The last error comes out.
    """
    try:
        return await attempt()
    except unless:
        raise
    except on as error:
        failures = [error]

    async def again() -> T:
        if failures:  # the first attempt was made already, before all this was set up in vain
            raise failures.pop()
        return await attempt()

    decorate = backoff.on_exception(
        _retry_delays, on, max_tries=tries, giveup=lambda error: isinstance(error, unless), jitter=None, logger=None
    )
    return await cast(Callable[[], Awaitable[T]], decorate(again))()


def _retry_delays(first: float = 0.5, most: float = 20.0) -> Generator[float, Exception | None, None]:
    """Give the seconds to wait before each further try: doubling, and never less than the service asked for.

    The error is sent in, as the library that drives this does.
    """
    wait = first
    error = yield 0.0
    while True:
        requested = error.retry_after if isinstance(error, NotAccepted | DownloadFailed) else None
        error = yield max(wait, requested or 0.0)
        wait = min(2 * wait, most)
