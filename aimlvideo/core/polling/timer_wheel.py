"""When which of very many things is due: a timer wheel that costs a list entry for each."""

from __future__ import annotations

import heapq
from math import ceil
from typing import Generic, TypeVar

T = TypeVar("T")

SLOTS_PER_SECOND = 32  # a power of two: the moment of a slot is exact, so nothing is ever early


class TimerWheel(Generic[T]):
    """Holds items until they are due: never early, at most 1/32 s late.

    A sparse wheel: a dict of slots to lists, and a heap of the slots that exist. There is no removal: an item that no
    longer matters is recognised, and dropped, by whoever takes it out.
    """

    def __init__(self) -> None:
        self._slots: dict[int, list[T]] = {}
        self._order: list[int] = []

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def add(self, due: float, item: T) -> None:
        """Hold `item` until the moment `due` (seconds on the caller's clock)."""
        # Up, never down: a poll that comes early by a rounding would come before the policy wants it, and again right
        # after.
        slot = ceil(due * SLOTS_PER_SECOND)
        try:
            self._slots[slot].append(item)
        except KeyError:
            self._slots[slot] = [item]
            # One heap entry for each slot, not for each item: 100,000 items in a minute are 2,000 slots.
            heapq.heappush(self._order, slot)

    def pop_due(self, now: float) -> list[T]:
        """Take out everything that is due, the earliest slot first; within a slot, first in first out."""
        due: list[T] = []
        last = now * SLOTS_PER_SECOND
        while self._order and self._order[0] <= last:
            due += self._slots.pop(heapq.heappop(self._order))
        return due

    def next_due(self) -> float | None:
        """Return the moment at which `pop_due` next gives something; None while nothing is held."""
        return self._order[0] / SLOTS_PER_SECOND if self._order else None
