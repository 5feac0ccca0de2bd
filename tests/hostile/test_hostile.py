"""A little of everything at once: see `python -m tests.hostile` for hours of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hostile.world import Episode, Totals

pytestmark = [pytest.mark.long, pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")]


def test_everything_at_once_leaves_everything_saved_or_named(tmp_path: Path) -> None:
    totals = Totals()
    Episode(seed=3, folder=tmp_path, totals=totals, jobs=3, processes=1, speed=100.0, full_disks=False).run()
    assert totals.findings == []
    assert totals.accepted
