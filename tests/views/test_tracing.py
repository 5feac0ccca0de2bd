"""Log events, spans and metrics of a real run against the sandbox; and no secret in any of them."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aimlvideo import VideoClient, VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.pipeline import download
from aimlvideo.pipeline.step_log import _step_seconds, log_step
from aimlvideo.sandbox import Behaviour, Sandbox
from tests.cases import for_each
from tests.fakes import JOB, MODEL, PRICE, DeadDownload, FakeClient, FakeService, jobs, quick_downloads, run_all

KEY = "key-that-nobody-may-see"


@pytest.fixture(scope="module")
def otel() -> Iterator[tuple[Any, Any]]:
    """OpenTelemetry as an application sets it up, once in a process."""
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans, figures = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([figures])
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    yield spans, figures
    meters.shutdown()
    tracers.shutdown()
    for name in ("opentelemetry.trace", "opentelemetry.metrics"):
        del sys.modules[name]  # as long as it is there, the runs of all later tests are traced


@pytest.mark.real_time
async def test_a_run_is_told_in_spans_figures_and_lines(
    otel: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spans, figures = otel
    caplog.set_level(logging.INFO, "aimlvideo")
    jobs = [VideoJob("alibaba/wan-2-6-t2v", id=name, prompt="p") for name in ("a", "b")]
    behaviour = Behaviour(seconds="0.5", video="tiny")
    async with (
        Sandbox(behaviour) as sandbox,
        VideoClient(KEY, sandbox.url, poll="every:0.2") as client,
        client.run(jobs, output=tmp_path) as results,
    ):
        assert [result.stage async for result in results] == [Stage.SAVED] * 2
    ended = [span for span in spans.get_finished_spans() if span.attributes.get("aimlvideo.job") == "a"]
    assert [span.name for span in ended] == ["aimlvideo.job"]
    root = ended[0].context.span_id
    inside = [span.name for span in spans.get_finished_spans() if span.parent and span.parent.span_id == root]
    assert inside == ["aimlvideo.submit", "aimlvideo.poll", "aimlvideo.download"]
    points = {
        metric.name: metric.data.data_points[0]
        for metric in figures.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    }
    assert points["aimlvideo.polls"].value >= 4
    assert points["aimlvideo.lag"].count == 2
    assert points["aimlvideo.spent"].value > 0
    assert points["aimlvideo.outstanding"].value == 0
    steps = [record for record in caplog.records if record.name == "aimlvideo.steps" and record.job == "a"]
    assert [record.stage for record in steps] == ["submitting", "rendering", "ready", "saved"]
    assert steps[2].seconds > 0.4
    assert steps[3].generation == steps[2].generation != ""
    whole = repr([vars(record) for record in caplog.records]) + repr([s.to_json() for s in spans.get_finished_spans()])
    assert KEY not in whole
    assert "signature" not in whole.lower()


async def test_the_lag_of_a_clip_is_half_the_time_since_it_was_last_seen_unfinished(otel: Any) -> None:
    async with FakeClient(FakeService(seconds=20), poll="every:15") as client:
        await run_all(client, jobs(1))
    (metrics,) = otel[1].get_metrics_data().resource_metrics[0].scope_metrics
    points = {
        metric.name: point
        for metric in metrics.metrics
        for point in metric.data.data_points
        if point.attributes.get("aimlvideo.model") == MODEL
    }
    assert points["aimlvideo.lag"].sum == pytest.approx(15 / 2, abs=0.5)
    assert points["aimlvideo.polls"].value == 2
    assert points["aimlvideo.spent"].value == PRICE


def spent_on(otel: Any, model: str) -> float:
    (metrics,) = otel[1].get_metrics_data().resource_metrics[0].scope_metrics
    points = (point for one in metrics.metrics if one.name == "aimlvideo.spent" for point in one.data.data_points)
    return sum(point.value for point in points if point.attributes.get("aimlvideo.model") == model)


async def test_a_paid_clip_is_spent_once_however_often_it_is_fetched(
    otel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    model, live, service = "kling-video/v1.6/standard/image-to-video", download.Download, FakeService()
    async with FakeClient(service) as client:
        monkeypatch.setattr(download, "Download", DeadDownload)
        await run_all(client, jobs(1, {**JOB, "model": model}), output=tmp_path)
        monkeypatch.setattr(download, "Download", live)
        async with client.resume(tmp_path, retry_failed=True) as results:
            (saved,) = [result async for result in results]
        assert saved.path is not None
        saved.path.unlink()
        (again,) = (await run_all(client, jobs(1, {**JOB, "model": model}), output=tmp_path)).values()
        assert (again.stage, again.cost_usd, len(service.posted_at)) == (Stage.SAVED, PRICE, 1)
    assert spent_on(otel, model) == PRICE


@pytest.mark.parametrize("loaded", ["", "opentelemetry.trace", "opentelemetry.metrics"])
async def test_a_run_is_traced_where_the_application_has_loaded_either_half(
    monkeypatch: pytest.MonkeyPatch, loaded: str
) -> None:
    for name in ("opentelemetry.trace", "opentelemetry.metrics"):
        monkeypatch.setitem(sys.modules, name, importlib.import_module(name))
        if name != loaded:
            monkeypatch.delitem(sys.modules, name)
    async with FakeClient(FakeService()) as client, client.run([]) as results:
        assert len(results.watchers) == bool(loaded)


@for_each(
    ("before", "now", "seconds"),
    [
        (Progress(), Progress(Stage.SUBMITTING, submitted_at=1.0), None),
        (Progress(Stage.SUBMITTING, submitted_at=1.0), Progress(Stage.RENDERING, submitted_at=3.0), 2.0),
        (Progress(Stage.IN_DOUBT), Progress(Stage.RENDERING, submitted_at=3.0), None),
        (Progress(Stage.RENDERING), Progress(Stage.READY, submitted_at=3.0, completed_at=10.0), 7.0),
        (Progress(Stage.READY), Progress(Stage.SAVED, completed_at=10.0, saved_at=10.25), 0.25),
        (Progress(Stage.READY), Progress(Stage.SAVED, completed_at=10.0, saved_at=9.0), 0.0),
        (Progress(), Progress(Stage.FAILED), None),
        (Progress(Stage.READY), Progress(Stage.SAVED, saved_at=9.0), None),
        (Progress(Stage.RENDERING), Progress(Stage.READY, submitted_at=9.0), None),
    ],
)
def test_how_long_a_step_took(before: Progress, now: Progress, seconds: float | None) -> None:
    assert _step_seconds(before, now) == seconds


def test_nothing_is_logged_unless_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "aimlvideo")
    log_step(VideoJob("m", id="a"), Progress(), Progress(Stage.SUBMITTING))
    assert caplog.records == []
