"""How long generations take: what is known, what the service publishes, and the poll policies that follow."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.eta import Durations
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.polling.policy import LearnedPolls, PollPolicy, knowledge_key
from aimlvideo.errors import ServiceError
from aimlvideo.pipeline.request_log import Send
from aimlvideo.settings import Settings
from aimlvideo.shell.state.learned_durations import LearnedDurations
from aimlvideo.shell.user_folders import NOWHERE

log = logging.getLogger("aimlvideo")


class PollPolicies:
    """One client's poll policies: a fixed one for all, or one that is learned for each model and its settings."""

    def __init__(
        self, settings: Settings, catalog: Callable[[], Catalog], knowledge: LearnedDurations | None = None
    ) -> None:
        self._catalog = catalog
        self._service = settings.chosen_service
        self._fixed = settings.fixed_polls()
        self._keeps = settings.remembers
        self._published: dict[str, Durations] = {}
        if knowledge is None:
            keeps = self.learns and self._keeps
            knowledge = LearnedDurations.load(settings.knowledge) if keeps else LearnedDurations(NOWHERE, {})
        self.knowledge = knowledge

    @property
    def learns(self) -> bool:
        """Whether durations are learned at all."""
        return self._fixed is None

    def policy_for(self, job: VideoJob) -> PollPolicy:
        """Return the policy for the generations of a job like this: always the same object."""
        if self._fixed is not None:
            return self._fixed
        model, law = self._catalog().find(job.model), self._published.get(job.model)
        return self.knowledge.policy(
            knowledge_key(job.model, job.params),
            published={0.5: law.p50, 0.9: law.p90} if law else None,
            documented=model.documented_seconds if model else None,
        )

    def expected(self, job: VideoJob) -> Durations | None:
        """Return how long a job will take, as far as anybody knows."""
        policy, model = self.policy_for(job), self._catalog().find(job.model)
        if isinstance(policy, LearnedPolls) and policy.endings >= 1:
            return Durations(policy.quantile(0.5), policy.quantile(0.9))
        if not self._keeps:
            # A service on this machine takes as long as it was told to, whatever is written elsewhere.
            return None
        if (published := self._published.get(job.model)) is not None:
            return published
        return Durations.documented(model.documented_seconds) if model and model.documented_seconds else None

    async def read_published(self, send: Send) -> None:
        """Learn how long generations took of late, where the service tells."""
        question = self._service.durations
        if question is None:
            return
        try:
            self._published = question.read(await send(question.request))
        except ServiceError as error:
            log.debug("no durations are published: %s", error)

    def save(self) -> None:
        """Keep what was learned for later runs."""
        if self.learns and self._keeps:
            self.knowledge.save()
