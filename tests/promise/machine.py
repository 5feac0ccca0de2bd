"""Random histories: what people, machines and services do to a folder, one step after the other."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.promise.world import IDS, World

SHARED_MEMORY = Path("/dev/shm")
FAULTS = ("fine", "fine", "fine", "lost", "cut", "unsent", "busy", "away", "wrong", "broke", "blocked", "refused")

faults = st.lists(st.sampled_from(FAULTS), max_size=8)
files = st.dictionaries(st.sampled_from(IDS), st.sampled_from(("waves", "hills")), min_size=1, max_size=len(IDS))
limits = st.sampled_from((None, None, 0.25, 0.5, 0.75, 1.0, 2.0))
keys = st.sampled_from(("key-1", "key-1", "key-1", "key-2"))
kills = st.one_of(st.none(), st.none(), st.integers(0, 120))
interrupts = st.one_of(st.none(), st.none(), st.floats(0.1, 900.0))

TOTALS: Counter[str] = Counter()
"""What all histories of this process came to."""


class Promise(RuleBasedStateMachine):
    """Nothing paid twice, nothing lost, nothing bought unasked: judged at each purchase and after each process."""

    @initialize(seconds=st.sampled_from((5.0, 30.0, 300.0)))
    def begin(self, seconds: float) -> None:
        base = Path(tempfile.mkdtemp(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None, prefix="promise-"))
        self.world = World(base / "out")
        self.world.service.seconds = seconds

    @rule(
        jobs=files, agreed=st.sampled_from((True, True, True, False)), limit=limits, key=keys, faults=faults,
        kill_at=kills, interrupt_at=interrupts, retry_failed=st.booleans(),
    )  # fmt: skip
    def run_a_file(self, **how: object) -> None:
        self.world.run_file(**how)  # type: ignore[arg-type]

    @rule(limit=limits, key=keys, faults=faults, kill_at=kills, interrupt_at=interrupts, retry_failed=st.booleans())
    def resume_the_folder(self, **how: object) -> None:
        self.world.resume(**how)  # type: ignore[arg-type]

    @rule(
        jobs=files, take=st.integers(0, 3), limit=limits, most=st.integers(1, 2), key=keys, faults=faults,
        kill_at=kills, interrupt_at=interrupts,
    )  # fmt: skip
    def read_some_results(self, **how: object) -> None:
        self.world.read_some(**how)  # type: ignore[arg-type]

    @rule(seconds=st.sampled_from((1.0, 100.0, 700.0, 5000.0)))
    def let_time_pass(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(offset=st.sampled_from((-3600.0, -300.0, 0.0, 300.0, 3600.0)))
    def step_the_clock(self, offset: float) -> None:
        self.world.wall_offset = offset

    @rule(price=st.sampled_from((0.1, 0.25, 0.5)))
    def change_the_price(self, price: float) -> None:
        self.world.service.price = price

    @rule()
    def let_the_next_generation_fail(self) -> None:
        self.world.service.doomed = True

    @rule(rows=st.sampled_from((1, 7, 100)), strangers=st.sampled_from((0, 20)), delay=st.sampled_from((0.0, 200.0)))
    def change_the_log(self, rows: int, strangers: int, delay: float) -> None:
        service = self.world.service
        service.page_rows, service.strangers, service.listing_delay = rows, strangers, delay

    @rule(says_date=st.sampled_from((True, True, False)))
    def change_what_answers_say(self, says_date: bool) -> None:
        self.world.service.says_date = says_date

    @invariant()
    def nothing_is_wrong(self) -> None:
        TOTALS["steps"] += 1

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        TOTALS["histories"] += 1
        TOTALS["processes"] += self.world.runs
        TOTALS["generations"] += len(self.world.service.log)
        TOTALS.update(self.world.endings)
        shutil.rmtree(self.world.folder.parent, ignore_errors=True)
