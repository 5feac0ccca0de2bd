"""What a service lists of requests and of charges: the rows of its log and of its ledger."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogRow:
    """One request as the service's log lists it, written when the request ended."""

    request_id: str | None
    generation_id: str | None
    succeeded: bool
    created_at: float
    model: str = ""
    cost_usd: float | None = None
    failed: bool = False
    """Whether the log says so: a row that says neither settles nothing."""
    is_readable: bool = True
    """Whether its ids could be read: a row that could not may be any request."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One line of the ledger; `reference_id` is the generation that was charged.

    `usd` is what was taken from the account: negative where money came in, None where the amount cannot be read.
    """

    reference_id: str | None
    usd: float | None
    kind: str
    created_at: float
