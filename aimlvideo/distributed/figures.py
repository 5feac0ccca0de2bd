"""One worker in figures: its run, and the queue that it shares."""

from __future__ import annotations

from collections.abc import Iterator

from aimlvideo.distributed.worker import Worker
from aimlvideo.progress.figures import Figure, run_figures


def worker_figures(worker: Worker) -> Iterator[Figure]:
    """Give what is true of a worker now."""
    yield from run_figures(worker.batch)
    yield Figure("aimlvideo_in_hand", "Jobs that this worker has taken", len(worker.places))
    depth = {status: float(worker.depth.get(status, 0)) for status in ("queued", "picked")}
    yield Figure("aimlvideo_queue_depth", "Jobs in the queue of all workers", depth, label="status")
    yield Figure("aimlvideo_workers", "Workers heard of lately", worker.workers)
    yield Figure("aimlvideo_journal_unwritten", "Steps not yet written", worker.journal.unwritten)
