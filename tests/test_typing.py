"""The types that an editor sees: the README's code and a misspelt setting, under mypy and pyright."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.real_time]

ROOT = Path(__file__).parent.parent
WRONG = {
    "misspelt": "VideoClient(max_outstandig=5)",
    "wrong type": 'VideoClient(rate="fast")',
    "no transport": "VideoClient(transport=5)",
}


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the README's blocks, each as a coroutine, and a file in which each line is wrong."""
    folder = tmp_path_factory.mktemp("typed")
    for number, block in enumerate(blocks()):
        if "async with" in block and "async def" not in block:
            block = f"async def main() -> None:\n{textwrap.indent(block, '    ')}"  # noqa: PLW2901 - the same block
        (folder / f"readme_{number}.py").write_text(block, "utf-8")
    (folder / "wrong.py").write_text("from aimlvideo import VideoClient\n" + "\n".join(WRONG.values()) + "\n", "utf-8")
    return folder


def wrong_lines(output: str) -> set[str]:
    """Give `file:line` of each error."""
    return {":".join(place) for place in re.findall(r"(\w+\.py):(\d+)(?::\d+)?(?:: error| - error)", output)}


EXPECTED = {f"wrong.py:{number}" for number in range(2, 2 + len(WRONG))}


def test_mypy_accepts_the_readme_and_refuses_what_is_wrong(code: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *map(str, code.glob("*.py"))]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert wrong_lines(done.stdout) == EXPECTED, done.stdout + done.stderr


def test_pyright_accepts_the_readme_and_refuses_what_is_wrong(code: Path) -> None:
    settings = {
        "include": ["."],
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
        "reportUnusedVariable": False,
    }
    (code / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--project", str(code)]
    done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert wrong_lines(done.stdout) == EXPECTED, done.stdout + done.stderr
