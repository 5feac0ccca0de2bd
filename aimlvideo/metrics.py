"""Figures for Prometheus, on a page of this machine (the one importer of prometheus-client)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aimlvideo.errors import SettingsError
from aimlvideo.progress.figures import Figure


class Figures(Collector):
    """Whatever `read` gives when the page is asked for."""

    def __init__(self, read: Callable[[], Iterable[Figure]]) -> None:
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
def metrics_page(read: Callable[[], Iterable[Figure]], port: int, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve figures at `http://HOST:PORT/metrics`, and give the port (0 takes a free one). Raises SettingsError."""
    registry = CollectorRegistry()
    registry.register(Figures(read))
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"--metrics: {host}:{port} cannot be opened: {said}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
