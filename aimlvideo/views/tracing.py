"""Spans and metrics of runs through OpenTelemetry's API (its one importer), where an application has loaded it.

Spans: `aimlvideo.job`, and in it `aimlvideo.submit`, `aimlvideo.poll` (an event for each poll) and
`aimlvideo.download`. Metrics: `aimlvideo.outstanding`, `aimlvideo.lag` (seconds, half the gap between the last two
polls), `aimlvideo.polls`, `aimlvideo.refusals` (429 and its kin), `aimlvideo.spent` (USD). No key and no link in any.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from aimlvideo.core.formatting import redact_for_display
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import ENDED, OUTSTANDING, Stage
from aimlvideo.pipeline.entry import Entry
from aimlvideo.pipeline.run import Run

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_runs: WeakSet[Run] = WeakSet()


def trace(run: Run) -> None:
    """Have the jobs of a run traced and measured, if this process uses OpenTelemetry; else do nothing."""
    # An application that wants spans has loaded the API before: importing it here would cost everybody else.
    if "opentelemetry.trace" in sys.modules or "opentelemetry.metrics" in sys.modules:
        _runs.add(run)
        run.watchers.append(_Tracing(run))


class _Tracing:
    """Notes when each job was sent, and tells of it once it has ended."""

    def __init__(self, run: Run) -> None:
        from opentelemetry import metrics, trace  # noqa: PLC0415 - an extra

        self._tracer = trace.get_tracer("aimlvideo")
        self._meters = _meters(metrics.get_meter_provider())
        self._run = run
        self._sent: dict[str, float | None] = {}
        self._refused = 0
        self._spent: dict[str, float] = {}

    def __call__(self, entry: Entry) -> None:
        """Take notice of a step of a job."""
        now, job_id = entry.progress, entry.job.id
        if (refused := self._run.stats.refused.total()) > self._refused:
            self._meters["refusals"].add(refused - self._refused)
            self._refused = refused
        # As the run counts it: by what an ended job has cost, a clip that is fetched again would be paid again.
        model, dollars = entry.job.model, self._run.stats.of(entry.job).dollars
        if (more := dollars - self._spent.get(model, 0.0)) > 0:
            self._meters["spent"].add(more, {"aimlvideo.model": model})
            self._spent[model] = dollars
        if now.stage is Stage.SUBMITTING:
            self._sent[job_id] = now.submitted_at
        elif (now.stage is Stage.READY and self._run.spec.folder is None) or now.stage in ENDED:
            self._ended(entry, self._sent.pop(job_id, None))

    def _ended(self, entry: Entry, sent: float | None) -> None:
        now, model = entry.progress, {"aimlvideo.model": entry.job.model}
        self._meters["polls"].add(now.polls, model)
        if now.completed_at is not None and now.submitted_at is not None:
            ages = [abs(age) for age in now.ages_at_polls]
            # Below 0 where this machine's clock was set back meanwhile.
            lag = max(0.0, now.completed_at - now.submitted_at - max(ages, default=0.0)) / 2
            self._meters["lag"].record(lag, model)
        self._spans(entry, sent)

    def _spans(self, entry: Entry, sent: float | None) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - an extra

        now = entry.progress
        began = sent or now.submitted_at
        ended = now.saved_at or now.completed_at or now.submitted_at
        if began is None or ended is None:
            return
        # All spans of a job are written at its end, with the moments in its record: a job that waits for minutes, or
        # across a restart, holds no open span.
        root = self._tracer.start_span("aimlvideo.job", start_time=_nanos(began), attributes=_about(entry))
        inside = trace.set_span_in_context(root)
        for name, start, end in _parts(now, sent):
            span = self._tracer.start_span(f"aimlvideo.{name}", context=inside, start_time=_nanos(start))
            if name == "poll":
                _add_poll_events(span, now)
            span.end(_nanos(end))
        if now.stage is Stage.FAILED:
            root.set_status(trace.Status(trace.StatusCode.ERROR, redact_for_display(str(now.error))))
        root.end(_nanos(ended))


@cache
def _meters(provider: Any) -> dict[str, Any]:
    """Return the instruments of a meter provider, made once."""
    from opentelemetry.metrics import Observation  # noqa: PLC0415 - an extra

    def outstanding(_: Any) -> Iterable[Observation]:
        # A copy, because the exporter reads from a thread of its own.
        running = [run.stats.stages for run in list(_runs) if not run.closed]
        yield Observation(sum(stages[stage] for stages in running for stage in OUTSTANDING))

    meter = provider.get_meter("aimlvideo")
    meter.create_observable_gauge("aimlvideo.outstanding", [outstanding], description="generations outstanding")
    return {
        "lag": meter.create_histogram("aimlvideo.lag", "s", "from ready at the service until seen, about"),
        "polls": meter.create_counter("aimlvideo.polls", description="status checks of ended jobs"),
        "refusals": meter.create_counter("aimlvideo.refusals", description="answers that asked for patience"),
        "spent": meter.create_counter("aimlvideo.spent", "USD", "what was charged"),
    }


def _parts(now: Progress, sent: float | None) -> Iterable[tuple[str, float, float]]:
    if sent is not None and now.submitted_at is not None:
        yield "submit", sent, now.submitted_at
    if now.submitted_at is not None and now.completed_at is not None:
        yield "poll", now.submitted_at, now.completed_at
    if now.completed_at is not None and now.saved_at is not None:
        yield "download", now.completed_at, now.saved_at


def _about(entry: Entry) -> dict[str, str | int | float]:
    now = entry.progress
    attributes = {
        "aimlvideo.job": entry.job.id, "aimlvideo.model": entry.job.model, "aimlvideo.stage": now.stage.value,
        "aimlvideo.generation": now.generation_id, "aimlvideo.polls": now.polls, "aimlvideo.cost_usd": now.cost_usd,
    }  # fmt: skip
    return {name: value for name, value in attributes.items() if value is not None}


def _add_poll_events(span: Span, now: Progress) -> None:
    for age in now.ages_at_polls:
        attributes = {"aimlvideo.queued": age < 0}
        span.add_event("poll", attributes, timestamp=_nanos((now.submitted_at or 0.0) + abs(age)))


def _nanos(moment: float) -> int:
    return round(moment * 1e9)
