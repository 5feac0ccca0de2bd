"""What the service says before anything is bought: prices, durations, the balance."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aimlvideo.client import VideoClient
from aimlvideo.core.eta import Durations
from aimlvideo.core.money.pricing import Pricing
from aimlvideo.core.services.base import Question
from aimlvideo.errors import ServiceError, SettingsError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What the service told before a run; what it did not is empty, or None."""

    prices: Mapping[str, Pricing] = field(default_factory=dict)
    times: Mapping[str, Durations] = field(default_factory=dict)
    balance: float | None = None


async def ask_service(client: VideoClient, *, with_balance: bool = True) -> ServiceFacts:
    """Ask for prices, durations and the balance; whatever cannot be had is left out."""

    async def answered(question: Question[T] | None, otherwise: T) -> T:
        if question is None:
            return otherwise
        try:
            answer = await client.send(question.request, tries=1)
            return question.read(answer) if answer.status == 200 else otherwise
        except ServiceError:
            return otherwise

    no_prices: dict[str, Pricing] = {}
    no_times: dict[str, Durations] = {}
    service = client.service
    prices = await answered(service.prices, no_prices)
    times = await answered(service.durations, no_times)
    balance: Question[float | None] | None = service.balance
    return ServiceFacts(prices, times, await answered(balance, None) if with_balance else None)


def ask_without_a_run(settings: dict[str, Any]) -> ServiceFacts:
    """Ask what needs no key, and the balance where there is one."""

    async def work() -> ServiceFacts:
        try:
            client = VideoClient(**settings)
        except SettingsError:
            client, with_key = VideoClient(**keyless(settings)), False
        else:
            with_key = True
        async with client:
            return await ask_service(client, with_balance=with_key)

    return asyncio.run(work())


def keyless(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings for questions that need no key."""
    return {**settings, "api_key": settings["api_key"] or "none"}
