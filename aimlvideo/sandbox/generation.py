"""One generation at the service: what was decided about it when it was accepted, and how far it is.

Its files have signed links, on another host than the API, with a query that must come back byte for byte.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.timing import parse_law

Phase = Literal["queued", "generating", "completed", "error"]
Ending = Literal["completed", "error", "moderated", "overloaded"]
LIFETIME = 7 * 86_400
"""Seconds for which a link is said to hold."""

_ENCODED = str.maketrans({"+": "%2b", "/": "%2F", "=": "%3d", "~": "%7E"})
"""Upper and lower case mixed, and `~` encoded without need: a client that re-encodes the query breaks it."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What will become of a generation. `answer` is what the caller hears of its acceptance."""

    seconds: float
    ending: Ending = "completed"
    answer: Literal["heard", "error", "dropped"] = "heard"
    dead_link: bool = False
    first_download: Literal["whole", "cut", "page"] = "whole"
    trickles: bool = False


@dataclass(slots=True)
class Generation:
    """What the service knows of one generation. Moments are of the loop's clock, `created` is seconds since 1970."""

    number: int
    id: str
    wire: str
    model: str
    fate: Fate
    price: float
    seconds_of_video: float
    accepted_at: float
    created: float
    queued_until: float
    due: float
    clip: Future[Any]
    client_request_id: str | None = None
    external_task_id: str | None = None
    callback_url: str | None = None
    key: str = ""
    ended_at: float | None = None
    polls: int = 0
    downloads: int = 0
    link: int = 0

    def phase(self, now: float) -> Phase:
        """Return where it is."""
        if self.ended_at is None:
            return "queued" if now < self.queued_until else "generating"
        return "completed" if self.completed else "error"

    @property
    def completed(self) -> bool:
        """Tell whether it ends, or ended, with a video."""
        return self.fate.ending == "completed" and not (self.clip.done() and self.clip.exception())


def draw_outcome(behaviour: Behaviour, dice: Dice, documented: float | None, *, kling: bool) -> Fate:
    """Return what will become of a generation that is being accepted."""
    return Fate(
        # All that chance decides is decided at once, when it is accepted: what is asked later cannot change it.
        seconds=parse_law(behaviour.seconds).quantile(dice.roll("seconds"), documented) * behaviour.time_scale,
        ending=_ending(behaviour, dice, kling),
        answer=_answer(behaviour, dice),
        dead_link=dice.happens("dead_link", behaviour.dead_link),
        first_download=_first_download(behaviour, dice),
        trickles=dice.happens("slow_trickle", behaviour.slow_trickle),
    )


def _ending(behaviour: Behaviour, dice: Dice, kling: bool) -> Ending:
    if dice.happens("moderation", behaviour.moderation):
        return "moderated"
    if kling and dice.happens("late_1303", behaviour.late_1303):
        return "overloaded"
    return "error" if dice.happens("status_error", behaviour.status_error) else "completed"


def _answer(behaviour: Behaviour, dice: Dice) -> Literal["heard", "error", "dropped"]:
    if dice.happens("dropped", behaviour.dropped):
        return "dropped"
    return "error" if dice.happens("error_after", behaviour.error_after) else "heard"


def _first_download(behaviour: Behaviour, dice: Dice) -> Literal["whole", "cut", "page"]:
    if dice.happens("cut_download", behaviour.cut_download):
        return "cut"
    return "page" if dice.happens("error_page", behaviour.error_page) else "whole"


def signed_query(seed: int, generation: Generation, link: int) -> str:
    """Return the only query that opens this link of a generation."""
    signed = f"{seed}|{generation.id}|{link}".encode()
    # With letters at its end that every normaliser of URLs changes.
    signature = b64encode(hmac.digest(b"sandbox", signed, sha256)).decode() + "~+"
    return f"Signature={signature.translate(_ENCODED)}&Expires={int(generation.created) + LIFETIME}"


def file_link(host: str, seed: int, generation: Generation, clip: int = 1) -> str:
    """Return the present link to one of a generation's files; `host` is the API's own, as the caller named it."""
    link = generation.link
    name, file = f"{generation.number:06d}-{link}", "video" if clip == 1 else f"video-{clip}"
    return f"http://{other_host(host)}/files/{name}/{file}.mp4?{signed_query(seed, generation, link)}"


def other_host(host: str) -> str:
    """Return the same server under another name: the file host is not the API host."""
    name, colon, port = host.rpartition(":")
    return f"{'127.0.0.1' if name == 'localhost' else 'localhost'}{colon}{port}"
