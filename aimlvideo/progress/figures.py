"""A run in figures, for programs that watch it. Read when they are asked for, never before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aimlvideo.core.stages import Stage
from aimlvideo.stations.batch import Batch


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; with a `label`, one for each of the label's values. One that `counts` only ever grows."""

    name: str
    about: str
    value: float | Mapping[str, float]
    label: str = ""
    counts: bool = False


def run_figures(batch: Batch) -> Iterator[Figure]:
    """Give what is true of a run now."""
    tally = batch.tally
    jobs = {stage.value: float(tally.stages[stage]) for stage in Stage}
    yield Figure("aimlvideo_jobs", "Jobs that have come in, by their stage now", jobs, label="stage")
    yield Figure("aimlvideo_spent_usd", "Charged for the clips of this process", tally.dollars, counts=True)
    yield Figure("aimlvideo_committed_usd", "What the outstanding ones will cost", tally.committed())
    yield Figure("aimlvideo_submissions", "Submissions that were accepted", tally.accepted, counts=True)
    yield Figure("aimlvideo_polls", "Status checks that were answered", tally.polls, counts=True)
    refused = {what: float(tally.refused[what]) for what in ("submissions", "polls")}
    yield Figure("aimlvideo_refused", "Answers 429 and their kin", refused, label="what", counts=True)
    if (gates := batch.gates) is None:
        return
    yield Figure("aimlvideo_outstanding", "Generations outstanding", gates.slots.outstanding.taken)
    yield Figure("aimlvideo_outstanding_limit", "As many may be, at present", gates.slots.outstanding.limit)
    yield Figure("aimlvideo_rate", "Submissions a second, at present", gates.turns.rate.per_second)
    yield Figure("aimlvideo_poll_rate", "Status checks a second, at present", gates.polls.per_second)
    lag = "Lag that one status check may cost: it rises as polls run short"
    yield Figure("aimlvideo_poll_lag_seconds", lag, gates.polls.price)
