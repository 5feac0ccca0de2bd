"""Models that the service withdraws: what a person should know before jobs of them are sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

GONE = ("withdrawn",)


class Deprecation(NamedTuple):
    """A model that goes: `deprecated` serves until `shutdown_at`, `superseded` answers as another, `withdrawn` is out.

    That other one is `replaced_by`. Moments are seconds since 1970, 0 where unknown.
    """

    model: str
    status: str
    deprecated_at: float = 0.0
    shutdown_at: float = 0.0
    replaced_by: str = ""
    reason: str = ""

    def is_gone(self, now: float) -> bool:
        """Tell whether the model answers no more."""
        return self.status in GONE or (self.status == "deprecated" and 0 < self.shutdown_at <= now)

    def sentence(self, now: float, run_ends: float) -> str:
        """Return what a person should know before jobs of this model are sent; empty where that is nothing."""
        use = f": use {self.replaced_by}" if self.replaced_by else ""
        if self.is_gone(now):
            moment = self.shutdown_at or self.deprecated_at
            since = f" since {_day(moment)}" if moment else ""
            return f"model {self.model!r} is withdrawn{since}{use}"
        if self.status == "deprecated" and self.shutdown_at:
            passed = ", which this run may pass" if self.shutdown_at < run_ends else ""
            return f"model {self.model!r} will be withdrawn on {_day(self.shutdown_at)}{passed}{use}"
        if self.status == "superseded":
            return f"model {self.model!r} is superseded, the service answers with {self.replaced_by or 'another one'}"
        return f"model {self.model!r} is deprecated{use}" if self.status == "deprecated" else ""

    @staticmethod
    def sentences(
        models: Iterable[str], deprecations: Mapping[str, Deprecation], now: float, run_ends: float
    ) -> tuple[list[str], list[str]]:
        """Return what is wrong with models that are gone, and what to know of those that go."""
        listed = [deprecations[model] for model in models if model in deprecations]
        sentences = [(entry.is_gone(now), sentence) for entry in listed if (sentence := entry.sentence(now, run_ends))]
        return [text for gone, text in sentences if gone], [text for gone, text in sentences if not gone]


def _day(moment: float) -> str:
    day = datetime.fromtimestamp(moment, UTC)
    return f"{day.day} {day:%B %Y}"
