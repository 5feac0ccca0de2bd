"""How a run ended: what was saved, what it cost, what to do next, and the exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aimlvideo.core.stages import ENDED, Stage
from aimlvideo.errors import Refused, VideoError
from aimlvideo.shell.journal import Journal

OUTSTANDING = (Stage.SUBMITTING, Stage.IN_DOUBT, Stage.RENDERING)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the jobs of a folder stand. Money is in USD; `unknown` counts ended jobs whose cost nobody said."""

    folder: Path
    counts: dict[str, int]
    spent: float
    unknown: int
    failures: Counter[str]
    doubts: tuple[str, ...]
    outstanding: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 all saved, 1 some failed, 3 unfinished."""
        if any(count for stage, count in self.counts.items() if Stage(stage) not in ENDED):
            return 3
        return 1 if self.counts.get(Stage.FAILED) else 0

    def lines(self) -> Iterator[str]:
        """Give the closing summary, line by line."""
        counted = ", ".join(f"{count} {stage.replace('_', ' ')}" for stage, count in self.counts.items())
        unknown = f" ({self.unknown} of unknown cost)" if self.unknown else ""
        yield f"{counted or 'no jobs'}; {self.spent:.2f} USD{unknown}; in {self.folder}"
        for reason, count in self.failures.most_common(5):
            yield f"  failed {count} x: {reason}"
        for doubt in self.doubts[:20]:
            yield f"  in doubt: {doubt}"
        if len(self.doubts) > 20:
            yield f"  and {len(self.doubts) - 20} more in doubt"


def standing(journal: Journal, folder: Path) -> Standing:
    """Read where the jobs of a folder stand."""
    failed = Counter(str(known.error)[:160] for _, known in journal.ended_jobs() if known.stage is Stage.FAILED)
    waiting = [record for record in journal.open_jobs() if record.progress.stage in OUTSTANDING]
    return Standing(
        folder=folder,
        counts=journal.counts(),
        spent=journal.spent(),
        unknown=journal.unknown_costs(),
        failures=failed,
        doubts=tuple(
            f"job {job.id}, client request id {known.request_id}: look for it in the service's log, then "
            f"`aimlvideo resolve {folder} {job.id} --generation ID` or `--not-accepted`"
            for job, known in waiting
            if known.stage in (Stage.IN_DOUBT, Stage.SUBMITTING)
        ),
        outstanding=tuple(known.generation_id for _, known in waiting if known.generation_id),
    )


def advice(now: Standing, halted: VideoError | None, command: str) -> str:
    """Return what to do next."""
    if isinstance(halted, Refused):
        return f"{halted}. Then: {command}"
    if now.exit_code == 3:
        waiting = f"{len(now.outstanding)} outstanding at the service. " if now.outstanding else ""
        why = f"{halted}. " if halted else ""
        return f"{why}{waiting}To go on: {command}"
    if now.exit_code == 1:
        return f"to try the failed ones again: {command} --retry-failed"
    return f"the clips are in {now.folder}"
