"""Another try after a failure that may pass (the one place that knows the `backoff` library)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import backoff

from aimlvideo.core.retries import retry_delays

T = TypeVar("T")


def retrying(
    attempt: Callable[[], Awaitable[T]],
    *,
    on: tuple[type[Exception], ...],
    unless: tuple[type[Exception], ...] = (),
    tries: int = 5,
) -> Callable[[], Awaitable[T]]:
    """Return `attempt`, tried up to `tries` times while it raises one of `on` and none of `unless`.

    The last error comes out.
    """

    async def once() -> T:
        return await attempt()

    decorate = backoff.on_exception(
        retry_delays, on, max_tries=tries, giveup=lambda error: isinstance(error, unless), jitter=None, logger=None
    )
    return cast(Callable[[], Awaitable[T]], decorate(once))
