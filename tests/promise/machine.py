"""Random histories: what people, machines and services do to a folder, one step after the other."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fakes import PRICE
from tests.promise import folder_commands
from tests.promise.world import IDS, KLING_ITSELF, OTHER_PLACE, PROMPTS, World

SHARED_MEMORY = Path("/dev/shm")
FAULTS = (
    "fine", "fine", "fine", "lost", "lost", "mixed up", "cut", "unsent", "busy", "away", "wrong", "broke", "blocked",
    "refused",
)  # fmt: skip

nothing: st.SearchStrategy[list[str]] = st.just([])
# A third of all processes meet no fault, and a fifth one lost answer: most mistakes need one thing at a time.
faults = st.one_of(nothing, nothing, st.just(["lost"]), *[st.lists(st.sampled_from(FAULTS), max_size=6)] * 2)
# Mostly the same: a file that asks for something else under an id that was bought is refused, and buys nothing.
words = st.sampled_from((*[PROMPTS[0]] * 7, *PROMPTS[1:]))
several = st.dictionaries(st.sampled_from(IDS), words, min_size=2, max_size=4)
# The first one is accepted, by which the log is seen to list our ids, where no other job has shown that before.
doubts = st.sampled_from(
    ([], ["fine", "lost"], ["fine", "unsent"], ["fine", *["unsent"] * 6], ["fine", "broke"], ["broke"])
)
files = st.dictionaries(st.sampled_from(IDS), words, min_size=1, max_size=4)
limits = st.sampled_from((None, None, 0.25, 0.5, 0.75, 1.0, 2.0))
mostly = st.sampled_from((True, True, True, False))
rarely = st.sampled_from((False, False, False, True))
# Before it submits, it has written down when: with clocks that are all behind from then on.
stops = st.tuples(st.one_of(st.none(), st.integers(0, 60)), st.sampled_from((100.0, 700.0, 7200.0)))
calls = st.lists(st.sampled_from(("true", "mixed up", "unfinished")), max_size=3)
names = st.sampled_from(("", "", "", "{prompt}", "{prompt} {id}"))
process = {
    "key": st.sampled_from(("key-1",) * 6 + ("key-2", OTHER_PLACE)),
    "faults": faults,
    "then": st.sampled_from((*[None] * 15, "broke", "blocked", "refused")),
    "kill_at": st.one_of(*[st.none()] * 3, st.integers(0, 120)),
    "interrupt_at": st.one_of(*[st.none()] * 5, st.floats(0.1, 900.0), st.floats(0.1, 60.0)),
    "clock_step": st.one_of(
        *[st.none()] * 5, st.tuples(st.floats(0.1, 900.0), st.sampled_from((-3600.0, -400.0, 400.0, 3600.0)))
    ),
    "stops_at": st.one_of(*[st.none()] * 9, stops),
    "harm": st.one_of(*[st.none()] * 9, st.tuples(st.floats(0.1, 100.0), st.sampled_from(("delete", "rename")))),
}
"""What may happen to any process: another key, faults of the service (`then` for ever), its death, a set clock, a
machine that stands still, deleted files."""

NO_EVENTS: dict[str, Any] = {
    "key": "key-1", "faults": [], "then": None, "kill_at": None, "interrupt_at": None, "clock_step": None, "harm": None,
    "stops_at": None,
}  # fmt: skip
TOTALS: Counter[str] = Counter()
"""What all histories of this process came to."""


class Promise(RuleBasedStateMachine):
    """Nothing paid twice, nothing lost, nothing bought unasked: judged at each purchase and after each process."""

    @initialize(
        seconds=st.sampled_from((5.0, 30.0, 300.0)),
        gateway=st.sampled_from((*[""] * 8, "finds ids", "ignores ids", *KLING_ITSELF)),
        rows=st.sampled_from((7, 100)),
        strangers=st.sampled_from((0, 9)),
        offset=st.sampled_from((0.0, 0.0, -3600.0, -400.0, 400.0, 3600.0)),
        download=st.sampled_from((0.0, 0.0, 20.0)),
        unevenness=st.sampled_from((0.0, 0.3)),
    )
    def begin(
        self, *, seconds: float, gateway: str, rows: int, strangers: int, offset: float, download: float,
        unevenness: float = 0.0,
    ) -> None:  # fmt: skip
        base = Path(tempfile.mkdtemp(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None, prefix="promise-"))
        self.world = World(base / "out", gateway=gateway)
        service = self.world.service
        service.seconds, service.page_rows, service.strangers = seconds, rows, strangers
        service.unevenness = unevenness
        self.world.wall_offset, self.world.download_seconds = offset, download

    @rule(
        jobs=files, agreed=mostly, limit=limits, retry_failed=st.booleans(), own_ids=rarely, chained=rarely,
        name=names, anyway=rarely, file=st.sampled_from(("jobs.jsonl", "renamed.jsonl")), **process,
    )  # fmt: skip
    def run_a_file(self, **how: object) -> None:
        self.world.run_file(**self._without_limits(how))  # type: ignore[arg-type]

    @rule(
        jobs=several, fewer=rarely, limit=limits, other_limit=limits, agreed=mostly, faults=doubts,
        interrupt_at=st.sampled_from((None, None, 3.0, 20.0, 40.0, 700.0)),
        seconds=st.sampled_from((0.0, 0.0, 10.0, 700.0)), clock_step=st.sampled_from((None, None, -3600.0, 3600.0)),
        price=st.sampled_from((None, 0.1, 0.5)),
        listed=mostly, silent=st.booleans(), from_python=st.booleans(), other=st.fixed_dictionaries(process),
    )  # fmt: skip
    def run_a_file_and_soon_again(
        self, *, jobs: dict[str, str], fewer: bool, limit: float | None, other_limit: float | None, agreed: bool,
        faults: list[str], interrupt_at: float | None, seconds: float, clock_step: float | None, price: float | None,
        listed: bool, silent: bool, from_python: bool, other: dict[str, Any],
    ) -> None:  # fmt: skip
        """Begin a file, change one thing of the world, and give the command again: where most mistakes cost money."""
        world, file = self.world, {"file": "jobs.jsonl", "own_ids": False, "chained": False, "retry_failed": False}
        quiet = {**NO_EVENTS, "faults": faults, "interrupt_at": interrupt_at}
        taken = world.job_ids()
        unused = [name for name in IDS if name not in taken]
        if len(unused) > 1:
            # By one that ends well the log is seen to list our ids: without it every absence proves nothing.
            world.run_file(dict.fromkeys(unused[:1], PROMPTS[0]), agreed=True, limit=None, **file, **NO_EVENTS)  # type: ignore[arg-type]
            world.now += 600
            jobs, faults = dict.fromkeys(unused[1:3], PROMPTS[0]), faults[1:]
        world.service.says_cost = not silent
        if not listed:
            self.change_the_price(PRICE, listed)
        first = self._without_limits({"jobs": jobs, "limit": limit, **quiet})
        if from_python:
            world.read_some(take=3, most=3, **first)  # type: ignore[arg-type]
        else:
            world.run_file(agreed=agreed, **file, **first)  # type: ignore[arg-type]
        world.now += seconds
        if clock_step is not None:
            world.wall_offset = clock_step
        if price is not None:
            self.change_the_price(price, listed=True)
        again = dict(list(jobs.items())[:1]) if fewer else jobs
        second = self._without_limits({"jobs": again, "limit": other_limit, **other})
        world.run_file(agreed=True, **file, **second)  # type: ignore[arg-type]

    @precondition(lambda self: not self.world.gateway)
    @rule(limit=st.sampled_from((0.5, 0.75, 1.0)), uneven=mostly, **process)
    def run_all_other_jobs_within_a_limit(self, limit: float, uneven: bool, **how: Any) -> None:
        """What ends while others are under way is released once, and no more is bought than the limit has room for."""
        jobs = {name: PROMPTS[0] for name in IDS if name not in self.world.job_ids()}
        if len(jobs) < 3:
            return
        self.world.service.unevenness = 0.3 if uneven else 0.0
        file = {"file": "jobs.jsonl", "own_ids": False, "chained": False, "retry_failed": False}
        self.world.run_file(jobs, agreed=True, limit=limit, **file, **how)

    @rule(agreed=mostly, limit=limits, retry_failed=st.booleans(), **process)
    def resume_the_folder(self, **how: object) -> None:
        self.world.resume(**self._without_limits(how))  # type: ignore[arg-type]

    @rule(
        stops_at=st.one_of(st.none(), stops), clock_step=st.sampled_from((None, None, 400.0, 3600.0)), proxy=rarely,
        date_offset=st.sampled_from((0.0, 0.0, 660.0, 3600.0)), offset=st.sampled_from((None, 0.0, 0.0, 3600.0)),
        uptime=st.sampled_from((None, None, None, 5.0)), seconds=st.sampled_from((0.0, 0.0, 10.0, 700.0)),
        interrupt_at=st.sampled_from((3.0, 3.0, 40.0)), other=st.fixed_dictionaries(process),
    )  # fmt: skip
    def lose_an_answer_and_resume_by_other_clocks(
        self, *, stops_at: tuple[int | None, float] | None, clock_step: float | None, proxy: bool, date_offset: float,
        offset: float | None, uptime: float | None, seconds: float, interrupt_at: float, other: dict[str, Any],
    ) -> None:  # fmt: skip
        """Lose an answer, set clocks, and carry on: how long ago was it sent?"""
        world, file = self.world, {"file": "jobs.jsonl", "own_ids": False, "chained": False, "retry_failed": False}
        taken = world.job_ids()
        unused = [name for name in IDS if name not in taken]
        if len(unused) < 2:
            return
        quiet: dict[str, Any] = {**NO_EVENTS, **file, "agreed": True, "limit": None}
        world.service.date_is_of_this_machine, world.service.says_date = proxy, True
        world.dates_were_wrong |= proxy or date_offset != 0.0
        world.run_file({unused[0]: PROMPTS[0]}, **quiet)
        world.now += 600
        step = None if clock_step is None else (1.0, world.wall_offset + clock_step)
        how = {"faults": ["lost"], "stops_at": stops_at, "interrupt_at": interrupt_at, "clock_step": step}
        world.run_file({unused[1]: PROMPTS[0]}, **{**quiet, **how})
        world.now += seconds
        world.service.date_offset = date_offset
        if offset is not None:
            world.wall_offset = offset
        if uptime is not None:
            world.start_machine(uptime)
        world.resume(agreed=True, limit=None, retry_failed=False, **{**other, "key": "key-1"})

    @rule(
        kill_at=st.one_of(st.none(), st.integers(0, 60)), agreed=mostly, retry_failed=st.booleans(),
        mistakes=st.integers(0, 3), lost_before=st.sampled_from((None, 0.0, 700.0)),
        other=st.fixed_dictionaries(process),
    )  # fmt: skip
    def settle_doubts_by_hand_and_resume(
        self, *, kill_at: int | None, agreed: bool, retry_failed: bool, mistakes: int, lost_before: float | None,
        other: dict[str, Any],
    ) -> None:  # fmt: skip
        """By the id of each one's own generation, and before that by others, which are refused."""
        unused = [name for name in IDS if name not in self.world.job_ids()]
        if lost_before is not None and unused:
            file = {"file": "jobs.jsonl", "own_ids": False, "chained": False, "retry_failed": False}
            how = {**NO_EVENTS, **file, "faults": ["lost"], "interrupt_at": 3.0}
            self.world.run_file({unused[0]: PROMPTS[0]}, agreed=True, limit=None, **how)
            self.world.now += lost_before
        folder_commands.resolve(self.world, mistakes=mistakes, **{**NO_EVENTS, "kill_at": kill_at})
        self.world.resume(agreed=agreed, limit=None, retry_failed=retry_failed, **other)

    @rule(prompts=st.lists(words, min_size=1, max_size=4), name=names, agreed=mostly, limit=limits, **process)
    def run_a_file_without_ids(self, prompts: list[str], **how: Any) -> None:
        """Ids come from the content: lines may change their places, and one that stands twice is two jobs."""
        jobs: dict[str, str] = {}
        for prompt in prompts:
            copies = sum(other == prompt for other in jobs.values())
            jobs[f"{prompt}-{copies + 1}" if copies else prompt] = prompt
        file = {"file": "jobs.jsonl", "own_ids": False, "chained": False, "retry_failed": False}
        self.world.run_file(jobs, **file, **self._without_limits(how))

    @precondition(lambda self: "" in self.world.journals)
    @rule(count=st.integers(0, 3), results=rarely)
    def remove_files(self, count: int, results: bool) -> None:
        folder_commands.remove_files(self.world, count, results=results)

    @rule(dollars=st.sampled_from((0.1, 0.3, 0.6, inf, inf)))
    def change_the_balance(self, dollars: float) -> None:
        self.world.service.balance = self.world.service.charged() + dollars

    @precondition(lambda self: folder_commands.can_recover(self.world, "key-1"))
    @rule(
        lines_lost=st.sampled_from((0, 0, 1, 3)), kill_at=st.one_of(st.none(), st.integers(0, 30)),
        retry_failed=st.booleans(), other=st.fixed_dictionaries(process),
    )  # fmt: skip
    def lose_the_journal_recover_and_resume(
        self, lines_lost: int, kill_at: int | None, retry_failed: bool, other: Any
    ) -> None:
        folder_commands.recover(self.world, lines_lost=lines_lost, **{**NO_EVENTS, "kill_at": kill_at})
        self.world.resume(agreed=True, limit=None, retry_failed=retry_failed, **other)

    @precondition(lambda self: not self.world.gateway and "" in self.world.journals)
    @rule(key=process["key"])
    def reconcile(self, key: str) -> None:
        folder_commands.reconcile(self.world, **{**NO_EVENTS, "key": key})

    @rule(
        count=st.integers(0, 2), fails=st.booleans(), adopts=st.booleans(), seconds=st.sampled_from((0.0, 700.0)),
        other=st.fixed_dictionaries(process), beside=mostly,
    )  # fmt: skip
    def take_generations_from_elsewhere(
        self, *, count: int, fails: bool, adopts: bool, seconds: float, other: Any, beside: bool = False
    ) -> None:
        """Take in what other programs bought, the other folder, or this one itself where the answer was lost."""
        world = self.world
        names = [world.service.buy_elsewhere(fails=fails) for _ in range(count)]
        names += folder_commands.lost_generations(world)
        names += folder_commands.generations_beside(world)[-count:] if beside and count else []
        if not names:
            return
        world.now += seconds
        if adopts:
            folder_commands.adopt(world, names, has_model=fails, **{**NO_EVENTS, "kill_at": other["kill_at"]})
        else:
            folder_commands.wait(world, names, **other)

    @precondition(lambda self: "" in self.world.journals)
    @rule(
        jobs=files, seconds=st.sampled_from((0.0, 20.0, 700.0)), retry_failed=st.booleans(),
        first=st.fixed_dictionaries(process), second=st.fixed_dictionaries(process),
    )  # fmt: skip
    def run_put_an_older_journal_back_and_run_again(
        self, jobs: dict[str, str], seconds: float, retry_failed: bool, first: Any, second: Any
    ) -> None:
        world, copy = self.world, folder_commands.copy_journal(self.world)
        how = {"file": "jobs.jsonl", "own_ids": False, "chained": False, "agreed": True, "limit": None}
        world.run_file(jobs, retry_failed=True, **{**how, **first, "harm": None})
        world.now += seconds
        if folder_commands.can_be_told(world, copy):
            again = partial(world.run_file, jobs, retry_failed=retry_failed, **{**how, **second, "harm": None})
            folder_commands.run_with_an_older_journal(world, copy, again)

    @rule(jobs=files, take=st.integers(0, 3), limit=limits, most=st.integers(1, 3), calls=calls, **process)
    def read_some_results(self, **how: Any) -> None:
        how["calls"] = how["calls"] if self.world.gateway else ()
        self.world.read_some(**self._without_limits(how))  # type: ignore[arg-type]

    @rule(prompt=words, file=st.sampled_from(("a.mp4", "a.mp4", "b.mp4")), again=rarely, limit=limits, **process)
    def generate_one_clip(self, **how: Any) -> None:
        self.world.generate(**self._without_limits(how))

    @rule(
        prompt=words, again=st.booleans(), faults=doubts, interrupt_at=st.sampled_from((None, 3.0)), limit=limits,
        seconds=st.sampled_from((0.0, 700.0)), price=st.sampled_from((None, None, 0.5)),
        other=st.fixed_dictionaries(process),
    )  # fmt: skip
    def generate_one_clip_and_soon_again(
        self, *, prompt: str, again: bool, faults: Any, interrupt_at: float | None, limit: float | None, seconds: float,
        price: float | None, other: Any,
    ) -> None:  # fmt: skip
        world, faulty = self.world, {**NO_EVENTS, "faults": faults, "interrupt_at": interrupt_at}
        for by_force, how in ((False, NO_EVENTS), (again, faulty)):
            world.generate(prompt, "a.mp4", again=by_force, **how)
        world.now += seconds
        if price is not None:
            self.change_the_price(price, listed=True)
        world.generate(prompt, "a.mp4", again=False, **self._without_limits({**other, "limit": limit}))

    @rule(jobs=files, limit=limits, retry_failed=st.booleans(), own_ids=rarely, **process)
    def go_to_the_other_folder_and_run_a_file(self, **how: Any) -> None:
        """Jobs of the same ids are others there, also at the same service; what is left stays as it is."""
        self.world.go_to_the_other_folder()
        file = {"file": "jobs.jsonl", "chained": False, "agreed": True}
        self.world.run_file(**file, **self._without_limits(how))  # type: ignore[arg-type]

    @precondition(lambda self: self.world.job_ids())
    @rule(jobs=files, by=st.sampled_from(("run", "resume", "Python", "agent")))
    def try_the_folder_with_another_service(self, jobs: dict[str, str], by: str) -> None:
        folder_commands.use_another_service(self.world, jobs, by, **NO_EVENTS)

    @rule(name=st.sampled_from(IDS), prompt=words, **process)
    def generate_from_python(self, **how: Any) -> None:
        self.world.generate_from_python(**how)

    @precondition(lambda self: not self.world.gateway)
    @rule(jobs=files, limit=st.sampled_from((0.25, 0.5, 1.0)), stays=st.sampled_from((0.0, 60.0, 900.0)), **process)
    def let_an_agent_buy(self, **how: Any) -> None:
        self.world.let_an_agent_buy(**how)

    @rule(first=files, second=files, limit=limits, other_limit=limits, intruder=rarely, **process)
    def run_two_at_once(
        self, first: Any, second: Any, limit: float | None, other_limit: float | None, **how: Any
    ) -> None:
        if self.world.gateway:
            limit = other_limit = None
        self.world.run_two([(first, limit), (second, other_limit)], **how)

    def _without_limits(self, how: dict[str, object]) -> dict[str, object]:
        """Leave out the spending limit at a gateway: it has no prices, so every limit would refuse every run."""
        return {**how, "limit": None} if self.world.gateway else how

    @rule(seconds=st.sampled_from((1.0, 100.0, 700.0, 5000.0)))
    def let_time_pass(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(offset=st.sampled_from((-3600.0, -300.0, 0.0, 300.0, 3600.0)))
    def step_the_clock(self, offset: float) -> None:
        self.world.wall_offset = offset

    @rule(uptime=st.sampled_from((5.0, 1e6)), offset=st.sampled_from((-3600.0, 0.0, 3600.0)))
    def go_on_with_another_machine(self, uptime: float, offset: float) -> None:
        self.world.start_machine(uptime)
        self.world.wall_offset = offset

    @rule(price=st.sampled_from((0.1, 0.25, 0.5)), listed=mostly)
    def change_the_price(self, price: float, listed: bool) -> None:
        self.world.service.lists_price = listed
        # What is not listed counts as the highest price seen of the model: a service that raises it, and does not say
        # so, would pass every limit. A list that nobody has read was not seen.
        log = self.world.service.log
        if listed or log:
            self.world.service.price = price if listed else min(row.price for row in log)

    @rule(seconds=st.sampled_from((20.0, 900.0)))
    def change_the_patience(self, seconds: float) -> None:
        self.world.patience = seconds

    @rule(billed=rarely)
    def let_the_next_generation_fail(self, billed: bool = False) -> None:
        self.world.service.doomed = "billed" if billed else "unbilled"
        self.world.service.says_cost |= billed

    @precondition(lambda self: self.world.service.broken)
    @rule()
    def repair_failed_generations(self) -> None:
        folder_commands.repair(self.world)

    @rule(
        rows=st.sampled_from((2, 7, 100)), strangers=st.sampled_from((0, 9)), delay=st.sampled_from((0.0, 200.0)),
        offset=st.sampled_from((0.0, 0.0, 0.0, -3600.0, 3600.0)), ids=st.sampled_from(("", "missing", "unreadable")),
    )  # fmt: skip
    def change_the_log(self, rows: int, strangers: int, delay: float, offset: float, ids: str) -> None:
        service = self.world.service
        service.spoilt_ids = ids
        service.page_rows, service.strangers, service.listing_delay, service.rows_offset = (
            rows,
            strangers,
            delay,
            offset,
        )

    @rule(
        says_date=mostly, offset=st.sampled_from((0.0, 0.0, -3600.0, -660.0, 660.0, 3600.0)), says_cost=st.booleans(),
        download=st.sampled_from((0.0, 20.0)), proxy=rarely,
    )  # fmt: skip
    def change_what_answers_say(
        self, says_date: bool, offset: float, says_cost: bool, download: float, proxy: bool
    ) -> None:
        self.world.service.date_is_of_this_machine = proxy
        self.world.dates_were_wrong |= proxy or offset != 0.0
        self.world.service.says_date, self.world.service.date_offset = says_date, offset
        self.world.service.says_cost, self.world.download_seconds = says_cost, download

    @invariant()
    def nothing_is_wrong(self) -> None:
        TOTALS["steps"] += 1

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        TOTALS["histories"] += 1
        TOTALS["processes"] += self.world.runs
        TOTALS["generations"] += len(self.world.service.log)
        TOTALS["delivered to files"] += len(self.world.delivered)
        TOTALS.update(self.world.endings)
        shutil.rmtree(self.world.folder.parent, ignore_errors=True)
