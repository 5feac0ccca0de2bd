"""A look at a run, in words."""

from __future__ import annotations

from collections.abc import Mapping

from aimlvideo.core.formatting import format_seconds, format_usd
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.views.snapshot import RunSnapshot

ORDER = (
    Stage.SAVED, Stage.READY, Stage.RENDERING, Stage.IN_DOUBT, Stage.SUBMITTING, Stage.FAILED, Stage.PLANNED,
)  # fmt: skip
"""The stages from what is done to what is still to come."""
COLOURS = {
    Stage.SAVED: ("green", "#1c8a55"), Stage.READY: ("cyan", "#0f8a98"), Stage.RENDERING: ("blue", "#3a6fe0"),
    Stage.IN_DOUBT: ("yellow", "#b97a06"), Stage.SUBMITTING: ("magenta", "#9448c9"), Stage.FAILED: ("red", "#cf3a3f"),
    Stage.PLANNED: ("bright_black", "#b4bac5"),
}  # fmt: skip
"""The colour of each stage: its name on a terminal, which has a palette of its own, and its value on a page."""


def shares(stages: Mapping[Stage, int], total: int, cells: int) -> dict[Stage, int]:
    """Return how many cells each stage gets: together all of them, and none that has a job gets nothing."""
    present = {stage: stages[stage] for stage in ORDER if stages.get(stage, 0) > 0}
    whole = max(total, sum(present.values()), 1)
    given = {stage: max(1, int(cells * count / whole)) for stage, count in present.items()}
    given.setdefault(Stage.PLANNED, 0)
    largest = max(given, key=lambda stage: (given[stage], present.get(stage, 0)))
    given[largest] += cells - sum(given.values())
    return given


PACE = 10
"""A pace from here on is given in whole clips a minute."""


def counts(now: RunSnapshot) -> str:
    """Return how many are through: `412 of 1,000`."""
    done = now.stages.get(Stage.SAVED, 0) + now.stages.get(Stage.READY, 0)
    return f"{done:,} of {now.total:,}" if now.total is not None else f"{done:,}"


def money(now: RunSnapshot) -> str:
    """Return what is spent and what is committed."""
    return f"{format_usd(now.spent)} spent" + (f", {format_usd(now.committed)} committed" if now.committed else "")


def end_in_sight(now: RunSnapshot) -> str:
    """Return the pace, and when all will likely be there."""
    pace = f"{now.pace:.{0 if now.pace >= PACE else 1}f} a minute" if now.pace else ""
    if now.left is None:
        return pace
    likely, late = now.left
    more = "" if now.total is not None else " for those read so far"
    left = f"about {format_seconds(likely)} left{more} (up to {format_seconds(late)})"
    return f"{pace} · {left}" if pace else left


def brief(now: RunSnapshot) -> str:
    """Return what is spent, when it ends and what it waits for, in one line."""
    return " · ".join(part for part in (money(now), end_in_sight(now), now.waits) if part)


def line(now: RunSnapshot) -> str:
    """Return all of it in one line, for a log."""
    stages = ", ".join(f"{now.stages[stage]:,} {stage.replace('_', ' ')}" for stage in ORDER if now.stages.get(stage))
    said = [f"{counts(now)} saved", stages, money(now), end_in_sight(now), now.waits]
    return "; ".join(part for part in said if part)
