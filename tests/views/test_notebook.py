"""The notebook example, run by a real kernel; and what a notebook is shown."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import GenerationFailed
from aimlvideo.shell.dataframe import to_frame
from aimlvideo.views import notebook
from aimlvideo.views.snapshot import RunSnapshot, RunWatcher
from tests.fakes import JOB, FakeClient, FakeService, quick_downloads

EXAMPLE = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


@pytest.mark.long
@pytest.mark.real_time
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_example_ends_with_a_video_and_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made: Any = nbformat.read(EXAMPLE, as_version=4)
    made.cells[1].source = made.cells[1].source.replace("Behaviour(", 'Behaviour(video="tiny", ')  # made faster
    run_cell = made.cells[5]
    made.cells.insert(6, nbformat.from_dict({**run_cell, "id": "again", "outputs": []}))
    NotebookClient(made, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    html = ["".join(out.get("data", {}).get("text/html", "") for out in cell.get("outputs", [])) for cell in made.cells]
    assert '<video src="data:video/mp4;base64,' in html[3]
    assert "3 of 3" in html[5]
    assert 'class="dataframe"' in html[5]
    assert "3 of 3" in html[6], "the same cell again shows what there is"
    assert len(list((tmp_path / "notebook-clips").glob("*.mp4"))) == 4


def test_a_small_clip_is_embedded_and_a_large_one_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "a<b>.mp4"
    clip.write_bytes(b"film")
    result = Result(VideoJob("m", id="<i>"), Stage.SAVED, path=clip, cost_usd=0.5)
    html = str(result._repr_html_())
    assert base64.b64encode(b"film").decode() in html
    assert "&lt;i&gt;" in html
    monkeypatch.setattr(notebook, "MAX_EMBED_BYTES", 3)
    assert "a&lt;b&gt;.mp4</a>" in str(result._repr_html_())
    assert "0.50 USD" in html
    assert "3.5 of the service's units" in str(replace(result, cost_usd=None, cost_units=3.5)._repr_html_())


def test_a_clip_that_was_not_saved_plays_from_its_link() -> None:
    result = Result(VideoJob("m", id="a"), Stage.READY, video_url='https://x.example/a.mp4?s="1"&t=2')
    assert '<video src="https://x.example/a.mp4?s=&quot;1&quot;&amp;t=2"' in str(result._repr_html_())
    assert "<video" not in str(replace(result, video_url="javascript:alert(1)")._repr_html_())


@pytest.mark.parametrize("place", [None, "clips"])
async def test_a_run_that_was_left_is_shown_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | None
) -> None:
    quick_downloads(monkeypatch)
    async with FakeClient(FakeService()) as client, client.run([JOB], place and tmp_path / place) as run:
        async for _ in run:
            pass
    assert "1 of 1" in notebook._table_html(RunWatcher(run).snapshot())


def test_a_failure_shows_its_reason() -> None:
    error = GenerationFailed("moderated <b> https://x.example/a?sig=1")
    html = str(Result(VideoJob("m", id="a"), Stage.FAILED, error=error)._repr_html_())
    assert "moderated &lt;b&gt; https://x.example/a?…" in html
    assert "<video" not in html


def test_a_table_escapes_what_jobs_say() -> None:
    look = RunSnapshot({Stage.SAVED: 3, Stage.FAILED: 1}, 4, 2.0, 1.5, 0.0, None, (("<x>", "a & b"),), "")
    html = notebook._table_html(look)
    assert "3 of 4" in html
    assert "<b>&lt;x&gt;</b>: a &amp; b" in html


@pytest.mark.long
def test_a_frame_has_a_row_for_each_result_and_real_moments() -> None:
    from datetime import UTC, datetime

    moments = {
        "submitted_at": datetime(2026, 1, 1, tzinfo=UTC), "completed_at": datetime(2026, 1, 1, 0, 2, tzinfo=UTC),
    }  # fmt: skip
    frame = to_frame([Result(VideoJob("m", id="a", prompt="p"), Stage.READY, cost_usd=0.5, **moments)])  # type: ignore[arg-type]
    assert frame.loc[0, "seconds"] == 120.0
    assert frame.loc[0, "prompt"] == "p"
    assert str(frame["submitted_at"].dtype).endswith("UTC]")
    assert list(to_frame([]).columns) == list(frame.columns)
    charged = to_frame([Result(VideoJob("m", id="a", prompt="p"), Stage.READY, cost_units=3.5)])
    assert charged.loc[0, "cost_units"] == 3.5
    assert [*charged.columns[-3:]] == ["cost_units", "prompt", "seconds"]
    for some in (frame, charged, to_frame([])):
        assert some["cost_usd"].round(2).dtype == "float64"


def test_nothing_here_runs_outside_a_notebook() -> None:
    assert not notebook._in_notebook()
