"""Every benchmark runs, with numbers so small that its figures mean nothing."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_in_virtual_time

pytestmark = [pytest.mark.long, pytest.mark.real_time]

FOLDER = Path(__file__).parent.parent / "benchmarks"
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "distributed": ("--jobs 4 --seconds 0.05 --cap 4 --workers 1", {}),
    "downloads": ("--clips 2 --size 0.01 --rounds 1 --at-once 2", {}),
    "end_to_end": ("--jobs 4 --at-once 4 --scale 0.002", {}),
    "journal": ("--jobs 20 --resumed 20", {"SYNCS": 2}),
    "list_length": ("--jobs 1 2", {"ROUNDS": 2, "AT_A_TIME": 2}),
    "outstanding --one": ("--one 4", {}),
    "outstanding --picture": ("--picture {tmp}/outstanding.svg", {"PICTURED": (200,)}),
    "overhead": ("--rounds 1 --jobs 8 --scene saturated", {}),
    "polling": (
        "--seeds 1 --jobs 110 --picture {tmp}/polling.svg",
        {"PACE": 0.05, "laws.STEP": 1.0, "picture.PRICES": (0.5,)},
    ),
    "schedule": ("1000", {}),
    "start": ("--times 2", {"STARTS": {"import aiohttp": ["-c", ""], "aimlvideo": ["-m", "aimlvideo", "--version"]}}),
    "validation": ("", {"JOBS": 5}),
}
"""What each is told, and its constants that are made smaller."""
PARTS = {"crowd", "laws", "loopback", "picture", "simulation"}
"""Modules that others use, and thus run."""


def test_each_benchmark_is_tried() -> None:
    assert {path.stem for path in FOLDER.glob("[!_]*.py")} == {name.split()[0] for name in SMALL} | PARTS


@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs_to_its_end(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words, smaller = SMALL[name]
    monkeypatch.chdir(FOLDER.parent)
    module = importlib.import_module(f"benchmarks.{name.split(maxsplit=1)[0]}")
    for constant, value in smaller.items():
        part, _, own = constant.rpartition(".")
        monkeypatch.setattr(importlib.import_module(f"benchmarks.{part}") if part else module, own, value)
    monkeypatch.setattr(sys, "argv", [name, *words.format(tmp=tmp_path).split()])
    monkeypatch.setattr(asyncio, "run", run_in_virtual_time if name == "outstanding --one" else asyncio.run)
    code = module.main()
    code = asyncio.run(code) if inspect.iscoroutine(code) else code
    assert code is None or isinstance(code, int)  # how many figures were missed: these are no figures
    printed = capfd.readouterr()
    assert printed.out
    assert not printed.err
