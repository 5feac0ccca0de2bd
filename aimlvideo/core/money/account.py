"""What a service says of an account: the rows of its log and of its ledger, its packs of units, and what a key may do.

Money is in US dollars.
"""

from __future__ import annotations

from typing import NamedTuple


class LogRow(NamedTuple):
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


class Charge(NamedTuple):
    """One line of the ledger; `reference_id` is the generation that was charged.

    `usd` is what was taken from the account: negative where money came in, None where the amount cannot be read. What
    was taken of a pack is in `units`, which are never USD.
    """

    reference_id: str | None
    usd: float | None
    kind: str
    created_at: float
    units: float = 0.0


VIDEO_SCOPE = "model:video"


class KeyLimits(NamedTuple):
    """A key's own limits: `scopes` None is everything, `limit` None is no limit.

    The service says what the key used this month; where its limit counts otherwise (`period`), less may be left.
    """

    disabled: bool = False
    scopes: tuple[str, ...] | None = None
    limit: float | None = None
    period: str = ""
    used_this_month: float | None = None

    @property
    def max_remaining(self) -> float | None:
        """What the key may still spend at most; None where it has no limit."""
        if self.limit is None:
            return None
        counted = self.used_this_month if self.period in ("month", "no_reset") else None
        return max(0.0, self.limit - (counted or 0.0))

    @property
    def is_accepted(self) -> bool:
        """Whether the key may make videos at all, as long as it has money."""
        return not self.disabled and (self.scopes is None or VIDEO_SCOPE in self.scopes)

    def problem(self) -> str:
        """Return why this key can make no video at all; empty where it can."""
        if self.disabled:
            return "the API key is disabled: enable it, or use another one"
        if self.scopes is not None and VIDEO_SCOPE not in self.scopes:
            scopes = ", ".join(self.scopes) or "none"
            return f"the API key may not make videos: its scopes are {scopes}, expected {VIDEO_SCOPE}"
        if self.max_remaining == 0.0:
            return f"the API key has used up its own limit of {self.limit:.2f} USD: raise it, or use another key"
        return ""


class ResourcePack(NamedTuple):
    """Units that an account has bought; `expires_at` is in seconds since 1970, None where the service does not say."""

    name: str
    status: str
    remaining: float | None
    total: float | None
    expires_at: float | None
