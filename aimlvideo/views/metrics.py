"""Figures for Prometheus, on a page of this machine (the one importer of prometheus-client)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import SettingsError
from aimlvideo.pipeline.run import Run

LOCALHOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure; with a `label`, one for each of the label's values. One that `counts` only ever grows."""

    name: str
    about: str
    value: float | Mapping[str, float]
    label: str = ""
    counts: bool = False


def run_metrics(run: Run) -> Iterator[Reading]:
    """Give what is true of a run now."""
    tally = run.stats
    jobs = {stage.value: float(tally.stages[stage]) for stage in Stage}
    yield Reading("aimlvideo_jobs", "Jobs that have come in, by their stage now", jobs, label="stage")
    yield Reading("aimlvideo_spent_usd", "Charged for the clips of this process", tally.dollars, counts=True)
    in_units = "Charged in the service's own units, where it says no dollars"
    yield Reading("aimlvideo_spent_units", in_units, tally.units, counts=True)
    yield Reading("aimlvideo_committed_usd", "What the outstanding ones will cost", tally.committed())
    yield Reading("aimlvideo_submissions", "Submissions that were accepted", tally.accepted, counts=True)
    yield Reading("aimlvideo_polls", "Status checks that were answered", tally.polls, counts=True)
    refused = {what: float(tally.refused[what]) for what in ("submissions", "polls")}
    yield Reading("aimlvideo_refused", "Answers 429 and alike", refused, label="what", counts=True)
    if (limiters := run.limiters) is None:
        return
    yield Reading("aimlvideo_outstanding", "Generations outstanding", limiters.slots.outstanding.taken)
    yield Reading("aimlvideo_outstanding_limit", "The limit on them, at present", limiters.slots.outstanding.limit)
    yield Reading("aimlvideo_rate", "Submissions per second, at present", limiters.rate_gate.rate.per_second)
    yield Reading("aimlvideo_poll_rate", "Status checks per second, at present", limiters.polls.rate.per_second)
    lag = "Lag that one status check may cost: it rises as polls run short"
    yield Reading("aimlvideo_poll_lag_seconds", lag, limiters.polls.price)


class _Readings(Collector):
    """Whatever `read` gives when the page is asked for."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Give what is true now."""
        for figure in self._read():
            family = CounterMetricFamily if figure.counts else GaugeMetricFamily
            values = figure.value
            if isinstance(values, int | float):
                yield family(figure.name, figure.about, values)
                continue
            metric = family(figure.name, figure.about, labels=[figure.label])
            for name, value in values.items():
                metric.add_metric([name], value)
            yield metric


@contextmanager
def metrics_page(read: Callable[[], Iterable[Reading]], port: int) -> Iterator[int]:
    """Serve figures at `http://HOST:PORT/metrics`, and give the port (0 takes a free one). Raises SettingsError."""
    registry = CollectorRegistry()
    registry.register(_Readings(read))
    try:
        server, thread = start_http_server(port, LOCALHOST, registry)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"--metrics: {LOCALHOST}:{port} cannot be opened: {reason}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        # shutdown() only ends the loop; the port stays taken until the socket is closed.
        server.server_close()
        thread.join()
