"""What the service says before anything is bought: prices, durations, the balance."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import anyio

from aimlvideo.cli.options import ClientOptions
from aimlvideo.cli.signals import in_loop
from aimlvideo.core.catalog.deprecations import Deprecation
from aimlvideo.core.eta import Durations
from aimlvideo.core.money.account import KeyLimits
from aimlvideo.core.money.pricing import Pricing
from aimlvideo.core.services.base import Service
from aimlvideo.core.wires.base import Question
from aimlvideo.errors import ServiceError, SettingsError
from aimlvideo.shell.task_groups import task_group

if TYPE_CHECKING:
    from aimlvideo.client import VideoClient
    from aimlvideo.shell.http.transport import AskedService

T = TypeVar("T")
SOON = 5.0
"""Seconds after which people are told what is waited for."""


@dataclass(slots=True)
class _Asked(Generic[T]):
    """One free question, `topic` in words, and its answer: what stands there before, where none can be had."""

    topic: str
    question: Question[T] | None
    answer: T
    is_open: bool = True
    failure: str = ""
    error: ServiceError | None = None

    async def ask(self, client: VideoClient | AskedService) -> None:
        """Ask once, where there is something to ask."""
        if self.question is not None:
            try:
                answer = await client.send(self.question.request, tries=1)
                if answer.status in (200, 401):
                    self.answer = self.question.read(answer)
                else:
                    self.failure = f"answer {answer.status}"
            except ServiceError as error:
                self.error, self.failure = error, str(error)
        self.is_open = False


async def _say_what_is_awaited(questions: Sequence[_Asked[Any]], say: Callable[[str], None]) -> None:
    await anyio.sleep(SOON)
    awaited = [asked.topic for asked in questions if asked.is_open]
    say(f"the service was asked for {', '.join(awaited)}: expected an answer within seconds, found none in {SOON:g} s")


def _say_nothing(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What the service says before a run. `prices` and `balance` are None where it does not say."""

    prices: Mapping[str, Pricing] | None = None
    times: Mapping[str, Durations] = field(default_factory=dict)
    balance: float | None = None
    deprecations: Mapping[str, Deprecation] = field(default_factory=dict)
    key: KeyLimits | None = None
    why_no_prices: str = ""
    """Why `prices` is None, and what to do about it."""

    @classmethod
    async def of(
        cls, client: VideoClient | AskedService, say: Callable[[str], None] = _say_nothing, *, with_key: bool = True
    ) -> Self:
        """Ask for prices, durations and, where there is a key, the balance; whatever cannot be had is left out.

        All are asked for at once; `say` is told what is waited for where no answer comes in seconds.
        """
        service = client.service
        prices = _Asked[Mapping[str, Pricing] | None]("its prices", service.prices, None)
        times = _Asked[dict[str, Durations]]("how long its models take", service.durations, {})
        balance = _Asked[float | None]("the balance", service.balance if with_key else None, None)
        deprecations = _Asked[dict[str, Deprecation]]("which models it ends", service.deprecations, {})
        key = _Asked[KeyLimits | None]("the limits of the key", service.key if with_key else None, None)
        questions: tuple[_Asked[Any], ...] = (prices, times, balance, deprecations, key)
        async with task_group() as beside:
            beside.start_soon(_say_what_is_awaited, questions, say)
            async with task_group(wait=True) as asking:
                for asked in questions:
                    asking.start_soon(asked.ask, client)
        # A wrong key is better said now than when jobs are sent. One that shows the balance is none: a page that
        # refuses it wants another kind of key.
        refusals = [asked.error for asked in questions if asked.error is not None and asked.error.status == 401]
        if refusals and with_key and balance.answer is None:
            raise refusals[0]
        why_no_prices = _why_no_prices(service, prices.failure, with_key=with_key)
        return cls(prices.answer, times.answer, balance.answer, deprecations.answer, key.answer, why_no_prices)

    @classmethod
    def asked(cls, settings: ClientOptions, say: Callable[[str], None], *, sandbox: bool = False) -> Self:
        """Ask without a run what needs no key, and the balance where there is one. Raises Refused for a wrong key."""

        async def work() -> Self:
            opening = _client(settings, sandbox=True) if sandbox else _bare_service(settings)
            async with opening as (service, with_key):
                return await cls.of(service, say, with_key=with_key)

        return in_loop(work())


NO_FACTS = ServiceFacts()


def _why_no_prices(service: Service, failure: str, *, with_key: bool) -> str:
    """Say why there are no prices, and what to do; an empty text where there are some."""
    if service.prices is None:
        reason = f"{service.title} publishes no price list"
    elif failure:
        reason = f"the price list of {service.title} cannot be read ({failure})"
    else:
        return ""
    if with_key:
        return reason
    variables = " or ".join(" and ".join(names) for names in service.key_variables)
    return f"{reason}, and no API key is set: set {variables}, or use --sandbox for the sandbox's prices"


def learn_without_a_run(settings: ClientOptions, models: Collection[str], *, sandbox: bool = False) -> set[str]:
    """Ask the service for models that the catalogue does not know; return those that it knows from now on."""

    async def work() -> set[str]:
        async with _client(settings, sandbox=sandbox) as (client, _):
            return await client.learn_models(models)

    return in_loop(work()) if models else set()


@asynccontextmanager
async def _bare_service(settings: ClientOptions) -> AsyncIterator[tuple[VideoClient | AskedService, bool]]:
    """Give the service to be asked what costs nothing, and whether there is a key."""
    from aimlvideo.settings import Settings  # noqa: PLC0415 - as below
    from aimlvideo.shell.http.transport import AskedService  # noqa: PLC0415 - for who has something to ask

    checked, with_key = _made_of(settings, Settings.of)
    async with AskedService.open(checked) as service:
        yield service, with_key


@asynccontextmanager
async def _client(settings: ClientOptions, *, sandbox: bool) -> AsyncIterator[tuple[VideoClient, bool]]:
    """Give a client for what costs nothing, and whether it has a key."""
    # What a client takes to be imported is more than all the rest of a short command.
    from aimlvideo.cli.session import client_of  # noqa: PLC0415
    from aimlvideo.client import VideoClient  # noqa: PLC0415

    if sandbox:
        async with client_of(settings, sandbox=True) as client:
            yield client, True
        return
    client, with_key = _made_of(settings, lambda chosen: VideoClient(**chosen))
    async with client:
        yield client, with_key


def _made_of(settings: ClientOptions, make: Callable[[ClientOptions], T]) -> tuple[T, bool]:
    """Return what is made of these settings, and whether there is a key: without one it is made for questions alone."""
    try:
        return make(settings), True
    except SettingsError:
        return make(keyless(settings)), False


def keyless(settings: ClientOptions) -> ClientOptions:
    """Return settings for questions that need no key."""
    return {**settings, "api_key": settings["api_key"] or "none"}
