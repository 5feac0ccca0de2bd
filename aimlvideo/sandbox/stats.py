"""What the sandbox has seen, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aimlvideo.sandbox.generation import Generation

TOO_EARLY = 0.1
"""A first status check before this share of the processing time could not have found an end."""


@dataclass(slots=True)
class Stats:
    """The counts behind `/__sandbox/stats`."""

    posts: int = 0
    accepted: int = 0
    accepted_by_id: Counter[str] = field(default_factory=Counter)
    outstanding: int = 0
    outstanding_peak: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    polls: int = 0
    polls_unknown: int = 0
    polls_dropped: int = 0
    polls_by_phase: Counter[str] = field(default_factory=Counter)
    first_poll_too_early: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    answers_lost: Counter[str] = field(default_factory=Counter)
    downloads: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0
    callbacks: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    key_leaks: int = 0

    def accept(self, chosen_id: str | None) -> None:
        """Count a generation that was accepted."""
        self.accepted += 1
        self.outstanding += 1
        self.outstanding_peak = max(self.outstanding_peak, self.outstanding)
        if chosen_id:
            self.accepted_by_id[chosen_id] += 1

    def end(self, generation: Generation) -> None:
        """Count a generation that ended."""
        self.outstanding -= 1
        self.ended["completed" if generation.completed else generation.fate.ending] += 1

    def poll(self, generation: Generation, now: float) -> None:
        """Count a status check."""
        self.polls += 1
        self.polls_by_phase[generation.phase(now)] += 1
        if generation.polls == 0 and now - generation.accepted_at < TOO_EARLY * generation.fate.seconds:
            self.first_poll_too_early += 1
        generation.polls += 1

    def report(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        repeated = {name: count for name, count in self.accepted_by_id.items() if count > 1}
        return {
            "posts": self.posts,
            "accepted": self.accepted,
            "accepted_by_client_request_id": {
                "ids": len(self.accepted_by_id),
                "max": max(self.accepted_by_id.values(), default=0),
                "repeated": repeated,
            },
            "outstanding": self.outstanding,
            "outstanding_peak": self.outstanding_peak,
            "ended": dict(self.ended),
            "polls": self.polls,
            "polls_per_generation": round(self.polls / self.accepted, 3) if self.accepted else 0.0,
            "polls_unknown": self.polls_unknown,
            "polls_dropped": self.polls_dropped,
            "polls_by_phase": dict(self.polls_by_phase),
            "first_poll_too_early": self.first_poll_too_early,
            "refusals": dict(self.refusals),
            "answers_lost": dict(self.answers_lost),
            "downloads": dict(self.downloads),
            "bytes_sent": self.bytes_sent,
            "callbacks": dict(self.callbacks),
            "answers": {str(status): count for status, count in sorted(self.answers.items())},
            "key_leaks": self.key_leaks,
        }
