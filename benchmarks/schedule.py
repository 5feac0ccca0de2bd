"""What it costs to hold a million generations until they are due: `python -m benchmarks.schedule [COUNT]`.

Each id is held until a moment in the next ten minutes, taken out when it is due, and held again: that is one step.
"""

from __future__ import annotations

import gc
import heapq
import random
import sys
import time
import tracemalloc
from collections.abc import Callable

from aimlvideo.core.polling.timer_wheel import TimerWheel

Step = Callable[[], int]


def wheel(dues: list[float], again: list[float]) -> Step:
    """The wheel of the client."""
    held: TimerWheel[int] = TimerWheel()
    for number, due in enumerate(dues):
        held.add(due, number)

    def turn() -> int:
        count = 0
        add = held.add
        while (now := held.next_due()) is not None and now < 600:
            due = held.pop_due(now)
            count += len(due)
            for number in due:
                add(600 + again[number], number)
        return count

    return turn


def heap_of_tuples(dues: list[float], again: list[float]) -> Step:
    """What one writes first."""
    held = [(due, number) for number, due in enumerate(dues)]
    heapq.heapify(held)

    def turn() -> int:
        count = 0
        while held and held[0][0] < 600:
            _, number = held[0]
            heapq.heapreplace(held, (600 + again[number], number))
            count += 1
        return count

    return turn


def measure(name: str, build: Callable[[list[float], list[float]], Step], count: int) -> tuple[float, float]:
    """Print and return microseconds an id and step, and bytes an id."""
    rng = random.Random(1)
    dues, again = ([rng.random() * 600 for _ in range(count)] for _ in range(2))
    gc.collect()
    tracemalloc.start()
    step = build(dues, again)
    held = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    del step
    took, steps = min(_turn(build(dues, again)) for _ in range(3))
    print(f"{name:16} {took:6.2f} us an id and step   {held:6.0f} bytes an id   ({steps:,} steps)", flush=True)
    return took, held


def _turn(step: Step) -> tuple[float, int]:
    """Return microseconds a step, of this process alone, and the steps."""
    gc.collect()
    gc.disable()
    started = time.process_time()
    steps = step()
    took = time.process_time() - started
    gc.enable()
    return took / steps * 1e6, steps


def main() -> int:
    """Return 0 if the wheel costs at most 1 microsecond a step and 100 bytes an id."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    took, held = measure("wheel", wheel, count)
    measure("heap of tuples", heap_of_tuples, count)
    passed = took <= 1.0 and held <= 100
    print("to reach: 1 us and 100 bytes:", "reached" if passed else "MISSED")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
