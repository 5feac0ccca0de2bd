"""What the service says against a purchase before anything is sent: models that are gone, a key that may not buy."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TypeVar

import anyio

from aimlvideo.core.catalog.deprecations import Deprecation
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.money.account import KeyLimits
from aimlvideo.core.services.base import Service
from aimlvideo.core.wires.base import Question
from aimlvideo.errors import InvalidJobs, Problem, Refused, ServiceError, VideoError
from aimlvideo.pipeline.request_log import Send
from aimlvideo.shell import clock
from aimlvideo.shell.task_groups import task_group

PREFLIGHT_PATIENCE = 10.0
"""Seconds that the two questions may take: a service that does not answer them stops nobody."""
GOOD_FOR = 3600.0
"""Seconds after which a client that lives on asks again."""

T = TypeVar("T")
log = logging.getLogger("aimlvideo")


@dataclass(eq=False)
class Preflight:
    """Asks which models are withdrawn and what the key may do, once an hour, and says which jobs that rules out.

    Where `enabled` is False nothing is asked: somebody has read it already, and decided.
    """

    send: Send
    service: Service
    enabled: bool = True
    _deprecations: Mapping[str, Deprecation] = field(default_factory=dict)
    _key: KeyLimits | None = None
    _asked_at: float = -inf
    _mentioned: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._lock = anyio.Lock()

    async def objection(self, job: VideoJob) -> VideoError | None:
        """Return why a job is not to be bought: InvalidJobs where its model is gone, Refused where the key is no good.

        What is only to be known of its model is logged, once.
        """
        if not self.enabled:
            return None
        if not self._is_fresh():
            await self._ask()
        if self._key is not None and (problem := self._key.problem()):
            return Refused(f"{problem}. Nothing was sent", wrong_key=not self._key.is_accepted)
        deprecation = self._deprecations.get(job.model)
        if deprecation is None:
            return None
        now = clock.wall()
        # By this moment's clock, not the run's start: a run of days may pass the date.
        if deprecation.is_gone(now):
            expected = f"a model that is served: {deprecation.sentence(now, now)}"
            return InvalidJobs([Problem("model", expected, repr(job.model), job=job.id)])
        if job.model not in self._mentioned and (sentence := deprecation.sentence(now, now)):
            self._mentioned.add(job.model)
            log.warning("%s", sentence)
        return None

    def _is_fresh(self) -> bool:
        return clock.loop() - self._asked_at < GOOD_FOR

    async def _ask(self) -> None:
        """Ask both questions. One job asks, and the others wait for the answers."""
        async with self._lock:
            if self._is_fresh():
                return
            with anyio.move_on_after(PREFLIGHT_PATIENCE):
                async with task_group(wait=True) as tasks:
                    tasks.start_soon(self._read_deprecations)
                    tasks.start_soon(self._read_key)
            self._asked_at = clock.loop()

    async def _read_deprecations(self) -> None:
        if self.service.deprecations is not None:
            self._deprecations = await self._answered(self.service.deprecations) or self._deprecations

    async def _read_key(self) -> None:
        if self.service.key is not None:
            self._key = await self._answered(self.service.key)

    async def _answered(self, question: Question[T]) -> T | None:
        """Return an answer, or None: the submission itself will say what is wrong."""
        try:
            answer = await self.send(question.request)
            return question.read(answer) if answer.status == 200 else None
        except ServiceError as error:
            log.info("%s is not known: %s", question.request.path, error)
            return None
