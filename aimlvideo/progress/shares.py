"""A stacked bar of stages in whole cells."""

from __future__ import annotations

from collections.abc import Mapping

from aimlvideo.core.stages import Stage

ORDER = (
    Stage.SAVED, Stage.READY, Stage.RENDERING, Stage.IN_DOUBT, Stage.SUBMITTING, Stage.FAILED, Stage.PLANNED,
)  # fmt: skip
"""The stages from what is done to what is still to come."""


def shares(stages: Mapping[Stage, int], total: int, cells: int) -> dict[Stage, int]:
    """Return how many cells each stage gets: together all of them, and none that has a job gets nothing."""
    present = {stage: stages[stage] for stage in ORDER if stages.get(stage, 0) > 0}
    whole = max(total, sum(present.values()), 1)
    given = {stage: max(1, int(cells * count / whole)) for stage, count in present.items()}
    given.setdefault(Stage.PLANNED, 0)
    largest = max(given, key=lambda stage: (given[stage], present.get(stage, 0)))
    given[largest] += cells - sum(given.values())
    return given
