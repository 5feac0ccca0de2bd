"""A generation as its service reports it, in words that all wires share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a generation stands at the service."""

    QUEUED = "queued"
    RENDERING = "rendering"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation, as seen at one moment.

    `status` is the service's own word, `state` what it means; `cost_usd` is None where the service did not say;
    `error` is the service's reason when `state` is `failed`. `video_urls` has all clips of the generation, `video_url`
    the first, `file_sizes` their bytes, as far as the answer says them. `cost_units` is what it cost in the service's
    own units, which are never USD. `never_ran`: it failed for want of a slot, was neither rendered nor billed, and may
    be submitted again. `request_id` is the id that we chose, where the answer says it. `content_refused`
    marks a failure by moderation, `refused_input` the input that it names. `created_at` is by the service's clock, in
    seconds since 1970; 0 where it does not say.
    """

    id: str
    state: State = State.RENDERING
    status: str = ""
    video_url: str | None = None
    error: str | None = None
    cost_usd: float | None = None
    video_urls: tuple[str, ...] = ()
    cost_units: float | None = None
    never_ran: bool = False
    request_id: str | None = None
    file_sizes: tuple[int | None, ...] = ()
    content_refused: bool = False
    refused_input: str | None = None
    created_at: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come: completed or failed."""
        return self.state in (State.COMPLETED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Callback:
    """What a service that calls back says: about which generation, by its id or by the id that we chose, and its state.

    `state` is None where it says none that is known.
    """

    generation_id: str | None
    request_id: str | None
    state: State | None
