"""What a worker says to Prometheus (the one importer of prometheus-client). Read when it is asked, never before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aimlvideo.core.stages import Stage
from aimlvideo.distributed.worker import Worker
from aimlvideo.errors import SettingsError


class WorkerMetrics(Collector):
    """One worker in figures."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        """Give what is true now."""
        yield from self._of_jobs()
        yield from self._of_the_service()
        yield from self._of_the_queue()

    def _of_jobs(self) -> Iterator[Metric]:
        tally = self._worker.batch.tally
        jobs = GaugeMetricFamily(
            "aimlvideo_jobs", "Jobs that this worker has seen, by their stage now", labels=["stage"]
        )
        for stage in Stage:
            jobs.add_metric([stage.value], tally.stages[stage])
        yield jobs
        yield GaugeMetricFamily("aimlvideo_in_hand", "Jobs that this worker has taken", len(self._worker.places))
        yield CounterMetricFamily("aimlvideo_spent_usd", "Charged for the clips of this worker", tally.dollars)

    def _of_the_service(self) -> Iterator[Metric]:
        fleet = self._worker.fleet
        yield GaugeMetricFamily("aimlvideo_outstanding", "Generations outstanding", fleet.outstanding.taken)
        yield GaugeMetricFamily("aimlvideo_outstanding_limit", "As many may be, at present", fleet.outstanding.limit)
        yield GaugeMetricFamily(
            "aimlvideo_poll_rate", "Status checks a second, this worker's part", fleet.polls.per_second
        )
        yield GaugeMetricFamily(
            "aimlvideo_poll_lag_seconds",
            "Lag that one status check may cost: it rises as polls run short",
            fleet.budget.price,
        )
        yield CounterMetricFamily("aimlvideo_polls", "Status checks that were answered", fleet.polls.taken)
        yield CounterMetricFamily("aimlvideo_submissions", "Submissions that were accepted", fleet.submissions.taken)
        refused = CounterMetricFamily("aimlvideo_refused", "Answers 429 and their kin", labels=["what"])
        refused.add_metric(["submissions"], fleet.submissions.refused)
        refused.add_metric(["polls"], fleet.polls.refused)
        yield refused

    def _of_the_queue(self) -> Iterator[Metric]:
        worker = self._worker
        depth = GaugeMetricFamily("aimlvideo_queue_depth", "Jobs in the queue of all workers", labels=["status"])
        for status in ("queued", "picked"):
            depth.add_metric([status], worker.depth.get(status, 0))
        yield depth
        yield GaugeMetricFamily("aimlvideo_workers", "Workers heard of lately", worker.workers)
        yield GaugeMetricFamily("aimlvideo_journal_unwritten", "Steps not yet written", worker.journal.unwritten)


@contextmanager
def metrics_page(worker: Worker, port: int | None, host: str = "127.0.0.1") -> Iterator[int | None]:
    """Serve a worker's figures at `http://HOST:PORT/metrics`, and give the port; with None, do nothing."""
    if port is None:
        yield None
        return
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(worker))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise SettingsError(f"--metrics: {host}:{port} cannot be opened: {error.strerror}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
