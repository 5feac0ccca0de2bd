"""A notebook whose cells raise, run by a real kernel: each shows its own error, and the next one goes on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

CELLS = (
    (
        "",
        """
from aimlvideo import Answer, FunctionTransport, VideoClient

def answer(request):
    if request.method == "POST":
        return Answer.of({"id": "gen-1", "status": "queued"}, 201)
    return Answer.of({"status": "completed", "video": {"url": "https://files.example.com/clip.mp4"}})

settings = {"transport": FunctionTransport(answer), "poll": "every:0.05"}  # a first look after 10 s would be usual
job = {"model": "alibaba/wan-2-6-t2v", "prompt": "waves", "duration": 5}
""",
    ),
    (
        "InvalidJobs",
        """
async with VideoClient(**settings) as client:
    await client.generate("no/such-model", prompt="the wrong model")
""",
    ),
    (
        "ZeroDivisionError",
        """
async with VideoClient(**settings) as client:
    (await client.generate(**job)).cost_usd or 1 / 0
""",
    ),
    (
        "KeyError",
        """
async with VideoClient(**settings) as client:
    async with client.run([job]) as results:
        async for result in results:
            {}["a slip inside a run"]
""",
    ),
    (
        "",
        """
async with VideoClient(**settings) as client:
    print((await client.generate(**job)).video_url)
""",
    ),
)


@pytest.mark.real_time
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_each_cell_shows_its_own_error_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nbclient import NotebookClient
    from nbformat import v4

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    notebook: Any = v4.new_notebook(cells=[v4.new_code_cell(code.strip()) for _, code in CELLS])
    NotebookClient(notebook, timeout=30, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for (error, code), cell in zip(CELLS, notebook.cells, strict=True):
        assert [output.ename for output in cell.outputs if output.output_type == "error"] == ([error] if error else [])
        shown = "".join("".join(output.get("traceback", ())) for output in cell.outputs)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert "ExceptionGroup" not in plain
        if error:
            assert code.strip().splitlines()[-1].strip() in plain, "the line that raised is shown"
        foreign = {line.strip() for _, other in CELLS for line in other.splitlines()[-1:]} - {
            line.strip() for line in code.splitlines()
        }
        assert not [line for line in foreign if line in plain], "and no line of another cell"
    assert "https://files.example.com/clip.mp4" in notebook.cells[-1].outputs[0].text
