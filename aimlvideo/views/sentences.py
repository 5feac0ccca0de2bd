"""A snapshot of a run, in words."""

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
    cells_of = {stage: max(1, int(cells * count / whole)) for stage, count in present.items()}
    cells_of.setdefault(Stage.PLANNED, 0)
    largest = max(cells_of, key=lambda stage: (cells_of[stage], present.get(stage, 0)))
    cells_of[largest] += cells - sum(cells_of.values())
    return cells_of


PACE = 10
"""A pace from here on is given in whole clips a minute."""


def counts(snapshot: RunSnapshot) -> str:
    """Return how many are through: `412 of 1,000`."""
    done = snapshot.stages.get(Stage.SAVED, 0) + snapshot.stages.get(Stage.READY, 0)
    return f"{done:,} of {snapshot.total:,}" if snapshot.total is not None else f"{done:,}"


def money(snapshot: RunSnapshot) -> str:
    """Return what is spent and what is committed."""
    return f"{format_usd(snapshot.spent)} spent" + (
        f", {format_usd(snapshot.committed)} committed" if snapshot.committed else ""
    )


def pace_and_eta(snapshot: RunSnapshot) -> str:
    """Return the pace, and when all will likely be there."""
    pace = f"{snapshot.pace:.{0 if snapshot.pace >= PACE else 1}f} a minute" if snapshot.pace else ""
    if snapshot.eta is None:
        return pace
    likely, late = snapshot.eta
    more = "" if snapshot.total is not None else " for those read so far"
    remaining = f"about {format_seconds(likely)} left{more} (up to {format_seconds(late)})"
    return f"{pace} · {remaining}" if pace else remaining


def brief(snapshot: RunSnapshot) -> str:
    """Return what is spent, when it ends and what it waits for, in one line."""
    return " · ".join(part for part in (money(snapshot), pace_and_eta(snapshot), snapshot.waiting_for) if part)


def line(snapshot: RunSnapshot) -> str:
    """Return all of it in one line, for a log."""
    stages = ", ".join(
        f"{snapshot.stages[stage]:,} {stage.replace('_', ' ')}" for stage in ORDER if snapshot.stages.get(stage)
    )
    parts = [f"{counts(snapshot)} saved", stages, money(snapshot), pace_and_eta(snapshot), snapshot.waiting_for]
    return "; ".join(part for part in parts if part)
