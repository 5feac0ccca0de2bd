"""A history that broke the promise is read as it was printed, and made small."""

from __future__ import annotations

from tests.promise.shrink import History, read, shrunk

PRINTED = """{'steps': 3} in 1 s: seed 7: BrokenPromise: gone
state = Promise()
state.begin(seconds=5.0, gateway='')
state.let_time_pass(seconds=100.0)
state.resume(kill_at=40, faults=['lost', 'busy'], limit=None)
state.run(jobs={'a': 'waves', 'b': 'waves'}, kill_at=None, clock_step=(0.5, 3600.0))
state.teardown()
"""


def test_only_what_a_history_needs_to_break_the_promise_is_left_of_it() -> None:
    def breaks(history: History) -> bool:
        steps = dict(history)
        is_killed = steps.get("resume", {}).get("kill_at") not in (None, *range(17))
        return is_killed and "lost" in steps["resume"]["faults"] and "b" in steps.get("run", {}).get("jobs", ())

    assert shrunk(read(PRINTED), breaks) == [
        ("begin", {"seconds": 1.0, "gateway": ""}),
        ("resume", {"kill_at": 17, "faults": ["lost"], "limit": None}),
        ("run", {"jobs": {"b": "waves"}, "kill_at": None, "clock_step": None}),
    ]
