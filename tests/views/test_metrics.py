"""A run in figures, and the page that Prometheus reads."""

from __future__ import annotations

from urllib.request import urlopen

import pytest

from aimlvideo.core.wires.http import Answer
from aimlvideo.errors import SettingsError
from aimlvideo.views.metrics import Reading, metrics_page, run_metrics
from tests.fakes import GATEWAY_JOB, JOB, FakeClient, FakeGateway, FakeService, answer, jobs


def read(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


async def test_a_run_says_how_many_are_where_and_what_they_cost() -> None:
    async with FakeClient(FakeService()) as client, client.run([JOB] * 3) as results:
        done = [result async for result in results]
        told = {figure.name: figure.value for figure in run_metrics(results)}
    assert told["aimlvideo_jobs"]["ready"] == 3  # type: ignore[index]
    assert told["aimlvideo_submissions"] == 3
    assert told["aimlvideo_polls"] == sum(result.polls for result in done) >= 3
    assert told["aimlvideo_spent_usd"] == pytest.approx(sum(result.cost_usd or 0.0 for result in done))
    assert told["aimlvideo_outstanding"] == 0
    assert told["aimlvideo_refused"] == {"submissions": 0, "polls": 0}


async def test_what_is_paid_in_a_pack_s_units_is_a_figure_of_its_own() -> None:
    class Packs(FakeGateway):
        def _task(self, name: str) -> Answer:
            task = super()._task(name).json()
            return answer(200, {**task, "data": {**task["data"], "final_unit_deduction": "3.5"}})

    async with FakeClient(Packs(), service="kling") as client, client.run(jobs(2, GATEWAY_JOB)) as results:
        assert [result.cost_units async for result in results] == [3.5, 3.5]
        told = {figure.name: figure.value for figure in run_metrics(results)}
    assert (told["aimlvideo_spent_units"], told["aimlvideo_spent_usd"]) == (7.0, 0.0)


def test_the_page_shows_what_is_true_when_it_is_asked() -> None:
    figures = [Reading("a_gauge", "One", 1.5), Reading("seen", "Several", {"x": 2.0}, label="what", counts=True)]
    with metrics_page(lambda: iter(figures), 0) as port:
        assert "a_gauge 1.5\n" in read(port)
        figures[0] = Reading("a_gauge", "One", 7)
        page = read(port)
    assert "a_gauge 7.0\n" in page
    assert 'seen_total{what="x"} 2.0\n' in page


def test_a_port_that_is_taken_is_a_user_s_mistake() -> None:
    with (
        metrics_page(lambda: (), 0) as port,
        pytest.raises(SettingsError, match="cannot be opened: Address already in use"),
        metrics_page(lambda: (), port),
    ):
        pass
