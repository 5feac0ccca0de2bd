"""What a job file will cost and take, counted while it is read; memory does not grow with its length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from aimlvideo.cli.options import ClientOptions
from aimlvideo.cli.service_facts import ServiceFacts
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.catalog.deprecations import Deprecation
from aimlvideo.core.eta import Durations, Estimate
from aimlvideo.core.formatting import exact_amount, pluralize
from aimlvideo.core.money.pricing import PRICES, Prices, Pricing
from aimlvideo.errors import UsageError
from aimlvideo.pipeline.prices import keep_prices
from aimlvideo.shell import clock
from aimlvideo.shell.journal.base import Journal

AUTO = 20
"""Generations at a time that an estimate assumes where the client finds the limit by itself."""
RATE = 5.0
"""Submissions a second that it assumes where a command has no setting for them."""


@dataclass(frozen=True, slots=True)
class _ModelCost:
    """The jobs of one model. `dollars` is the sum of those that could be quoted, None when none could."""

    model: str
    jobs: int
    dollars: float | None
    unquoted: int


@dataclass(frozen=True, slots=True)
class _Obstacles:
    """What stands in the way of a run, and what to know before it; whole sentences."""

    problems: tuple[str, ...]
    remarks: tuple[str, ...]

    def refuse(self, terminal: Terminal, *, anyway: bool) -> None:
        """Say what the service says of these jobs; raise UsageError where that stands in their way."""
        for remark in self.remarks:
            terminal.remark(remark)
        if self.problems and not anyway:
            raise UsageError(f"{'; '.join(self.problems)}. Nothing was sent (--anyway starts anyway)")
        for problem in self.problems:
            terminal.remark(problem)


@dataclass(frozen=True, slots=True)
class CheckSummary:
    """What a file will cost and take: `dollars` is what can be quoted, `unquoted` jobs come on top."""

    models: tuple[_ModelCost, ...]
    jobs: int
    dollars: float | None
    unquoted: int
    estimate: Estimate
    balance: float | None

    @property
    def enough(self) -> bool | None:
        """Whether the balance is sufficient: None where unquoted jobs come on top, or nobody said the balance."""
        if self.balance is None:
            return None
        if (self.dollars or 0.0) > self.balance:
            return False
        return None if self.unquoted else True

    def as_json(self) -> dict[str, Any]:
        """Return what a file will cost and take, for a program; what is unknown is null."""
        return {
            "jobs": self.jobs,
            "usd": self.dollars,
            "jobs_without_price": self.unquoted,
            "models": {cost.model: {"jobs": cost.jobs, "usd": cost.dollars} for cost in self.models},
            "likely_seconds": self.estimate.likely,
            "late_seconds": self.estimate.late,
            "balance_usd": self.balance,
            "balance_is_sufficient": self.enough,
        }

    def price_line(self) -> str:
        """Return in one line what a file will cost."""
        jobs = pluralize(self.jobs, "job")
        if self.unquoted == self.jobs and self.jobs:
            return f"{jobs}, price unknown"
        unquoted = f", plus {pluralize(self.unquoted, 'job')} of unknown price" if self.unquoted else ""
        return f"{jobs}, {_or_unknown(self.dollars)} USD{unquoted}"

    def rows(self) -> Iterator[tuple[str, int, str, int | str]]:
        """Give each model with its jobs, what they cost in USD, and how many have no price."""
        for cost in self.models:
            yield cost.model, cost.jobs, _or_unknown(cost.dollars), cost.unquoted or ""

    def agree(
        self, facts: ServiceFacts, terminal: Terminal, *, max_spend: float | None, above: float, anyway: bool
    ) -> None:
        """Show what a run will cost, and ask where that is `above` a limit in USD, before anything is bought.

        Raises UsageError where the service's words or the balance stand in its way, or a person says no.
        """
        self.obstacles(facts, max_spend=max_spend).refuse(terminal, anyway=anyway)
        self._confirm(terminal, above=above, anyway=anyway)

    def _confirm(self, terminal: Terminal, *, above: float, anyway: bool) -> None:
        if not self.jobs:
            return
        terminal.say(self.price_line())
        if self.enough is False and not anyway:
            raise UsageError(
                f"the balance ({exact_amount(self.balance or 0.0)} USD) is below the estimated cost "
                f"({'unknown' if self.dollars is None else exact_amount(self.dollars)} USD): top up, or pass --anyway. "
                "Nothing was planned, nothing was sent"
            )
        # An unknown price may be any: it is asked about like one that is too high.
        is_above = self.dollars is None or self.unquoted or self.dollars > above
        if is_above and above < inf and not terminal.confirm("Start this run?"):
            raise UsageError("not confirmed: nothing was planned, nothing was sent")

    def obstacles(self, facts: ServiceFacts, *, max_spend: float | None = None) -> _Obstacles:
        """Return what the service says against a run: models that are gone, the key's limits, unreadable prices."""
        now = clock.wall()
        models = [cost.model for cost in self.models]
        gone, going = Deprecation.sentences(models, facts.deprecations, now, now + self.estimate.late)
        problems, remarks = [*gone], [*going]
        if facts.key is not None:
            key_leaves = facts.key.max_remaining
            if problem := facts.key.problem():
                problems.append(problem)
            elif key_leaves is not None and self.dollars is not None and self.dollars > key_leaves:
                problems.append(
                    f"the API key's own limit leaves {exact_amount(key_leaves)} USD at most, below the "
                    f"{exact_amount(self.dollars)} USD of this run: raise the key's limit, or use another key"
                )
        prices = facts.prices or {}
        unread = {prices[model].problem for model in models if model in prices} - {""}
        remarks += [f"price unknown: {problem}" for problem in sorted(unread)]
        if max_spend is not None and self.jobs and self.unquoted == self.jobs:
            reason = f" ({sorted(unread)[0]})" if unread else ""
            problems.append(
                f"--max-spend {max_spend:.12g} needs prices, and no price of these jobs can be read{reason}: run "
                "without it, with fewer jobs at a time, or see what the service says: aimlvideo doctor"
            )
        return _Obstacles(tuple(problems), tuple(remarks))


class Tally:
    """Counts checked jobs one by one: `tally.add(job.model, checked.params)`, then `tally.summary(...)`."""

    def __init__(self, catalog: Catalog, prices: Mapping[str, Pricing] | None = None) -> None:
        self._catalog, self._prices = catalog, Prices(prices or {})
        self._jobs: Counter[str] = Counter()
        self._unquoted: Counter[str] = Counter()
        self._dollars: dict[str, float] = {}

    def add(self, model: str, params: Mapping[str, Any]) -> float | None:
        """Count one job; return its price in dollars, None where it cannot be quoted."""
        price = self._prices.quote(model, self._catalog.find(model), params)
        self._jobs[model] += 1
        if price is None:
            self._unquoted[model] += 1
        else:
            self._dollars[model] = self._dollars.get(model, 0.0) + price
        return price

    def keep_prices(self, journal: Journal) -> None:
        """Keep the prices of these jobs, and of what else is planned, for `status` and for later runs."""
        kept = Prices.of_text(journal.fact(PRICES))
        for name in sorted({*self._jobs, *journal.planned_models()}):
            model = self._catalog.find(name)
            # Listed under its id where the job names it by an alias.
            names = (name, model.id if model else name)
            kept.update((one, self._prices[one]) for one in names if one in self._prices)
        if self._prices:
            keep_prices(journal, kept)

    def summary(self, settings: ClientOptions, facts: ServiceFacts) -> CheckSummary:
        """Return what the counted jobs will cost and take: as long as was measured, else as documented."""
        durations = {**self._documented(), **facts.times}
        most, rate = settings["max_outstanding"] or AUTO, settings.get("rate", RATE)
        return CheckSummary(
            models=tuple(
                _ModelCost(model, count, self._dollars.get(model), self._unquoted[model])
                for model, count in self._jobs.most_common()
            ),
            jobs=self._jobs.total(),
            dollars=sum(self._dollars.values()) if self._dollars else None,
            unquoted=self._unquoted.total(),
            estimate=Estimate.of(self._jobs, durations, max_outstanding=most, rate=rate),
            balance=facts.balance,
        )

    def _documented(self) -> dict[str, Durations]:
        models = {name: self._catalog.find(name) for name in self._jobs}
        seconds = {name: model.documented_seconds for name, model in models.items() if model}
        return {name: Durations.documented(value) for name, value in seconds.items() if value}


def _or_unknown(dollars: float | None) -> str:
    return "unknown" if dollars is None else f"{dollars:.2f}"
