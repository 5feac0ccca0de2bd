"""How the sandbox behaves: every knob in one frozen value."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Literal, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from aimlvideo.sandbox.timing import parse_law

HOSTILE = (
    *("endless_body", "slow_body", "gzip_bomb", "cut_without_length", "odd_headers", "large_headers"),
    *("odd_links", "odd_redirects", "odd_types", "surrogates", "control_characters", "deep_json", "huge_enums"),
)
"""The fields of `Behaviour` that make answers such as no sound service gives; probabilities too."""
Station = Literal["submit", "status", "files", "account", "catalogue", "callbacks"]
STATIONS: tuple[Station, ...] = get_args(Station)
"""Where answers may be hostile."""

SHARES = (
    *("queued_share", "rate_limited", "unavailable", "error_before", "error_after", "dropped"),
    *("poll_rate_limited", "poll_error", "poll_dropped", "unknown_status_words"),
    *("status_error", "moderation", "late_1303", "odd_errors", "several_clips"),
    *("dead_link", "cut_download", "error_page", "slow_trickle", "kling_http_200"),
    *HOSTILE,
)
"""The fields of `Behaviour` that are probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the sandbox does to its callers. Shares are probabilities from 0 to 1, times are seconds, money is USD.

    The same seed and the same requests give the same run: chance is drawn from the seed and the id that the caller
    chose (`X-Client-Request-Id`, on the Kling wire `external_task_id`), so the order of arrival does not matter.
    """

    seed: int = 0
    """Everything that is left to chance follows from it."""

    # Time
    seconds: float | str = 2.0
    """Processing time: a number, `"lognormal:127,0.35"` (median, sigma), `"uniform:10,60"` or `"documented"`."""
    time_scale: float = 1.0
    """Processing times are multiplied by it: 0.01 makes the service a hundred times faster."""
    queued_share: float = 0.2
    """Share of its processing time that a generation says `queued` (Kling: `submitted`)."""
    latency: float = 0.0
    """Seconds before any answer."""
    appears_after: float = 0.0
    """Seconds after acceptance in which a status check still answers 404."""
    log_delay: float = 0.0
    """Seconds from the end of a generation to its row in `/v2/logs`."""

    # Refusals: the submission was surely not accepted
    rate_limited: float = 0.0
    """Share of submissions answered 429 (Kling 1302)."""
    retry_after: int | None = 1
    """Whole seconds in the `Retry-After` of a 429; None sends no such header."""
    max_concurrent: int | None = None
    """Generations that may be outstanding; one more is answered 429 (Kling 1303)."""
    max_rate: float | None = None
    """Submissions accepted per second, with a burst of as many; one more is answered 429 (Kling 1302)."""
    unavailable: float = 0.0
    """Share of submissions answered 503 before acceptance."""
    error_before: float = 0.0
    """Share of submissions answered 500, 502 or 504 and not accepted; every second one is logged as failed."""

    # Answers that leave the caller in doubt: the submission was accepted
    error_after: float = 0.0
    """Share of submissions accepted, yet answered 500, 502 or 504."""
    dropped: float = 0.0
    """Share of submissions accepted, and the connection cut instead of an answer."""

    # Status checks
    poll_rate_limited: float = 0.0
    """Share of status checks answered 429."""
    poll_error: float = 0.0
    """Share of status checks answered 500."""
    poll_dropped: float = 0.0
    """Share of status checks whose connection is cut instead of an answer."""
    unknown_status_words: float = 0.0
    """Share of status checks that use the undocumented `waiting`, `active`, `succeeded`, `failed`."""
    odd_fields: bool = True
    """Answers carry fields that no document names."""

    # Ends
    status_error: float = 0.0
    """Share of generations that end in an error; nothing is billed."""
    odd_errors: float = 0.0
    """Share of these errors that have one of the two shapes which examples show and no document names."""
    several_clips: float = 0.25
    """Share of generations with two clips, of the models whose `video` may be a list."""
    moderation: float = 0.0
    """Share of submissions stopped by the content policy: half with 400 at once, half with an error at the end."""
    late_1303: float = 0.0
    """Share of Kling tasks that are accepted and fail later with the text of code 1303."""

    # Files
    dead_link: float = 0.0
    """Share of generations whose first link answers 403, until the generation is asked for again."""
    cut_download: float = 0.0
    """Share of files whose first download is cut midway; `Range` continues it."""
    error_page: float = 0.0
    """Share of files whose first download is an HTML page under 200."""
    slow_trickle: float = 0.0
    """Share of files that arrive in small pieces."""
    trickle_seconds: float = 5.0
    """How long such a file takes."""
    video: Literal["full", "tiny"] = "full"
    """`full` makes what was asked, at preview size; `tiny` is a real clip of a few KB, one per shape and duration."""

    # Money and keys
    price: float | None = None
    """USD per clip; None bills by the price table of `/v1/models?include=pricing`."""
    balance: float = 100_000.0
    """USD on the account; clips are charged as they complete, and at zero a submission is answered 403."""
    api_keys: tuple[str, ...] | None = None
    """Keys that are let in; None lets in every key but an empty one and those that begin with `bad`."""
    key_limit: float | None = None
    """USD that a key may spend; a submission past it is answered 403."""
    key_scopes: tuple[str, ...] | None = None
    """What a key may do, `model:video` for all that is here; None: everything."""
    deprecations: tuple[Mapping[str, Any], ...] = ()
    """Entries of `/v1/models/deprecations`, of which `id` and `status` must be given; withdrawn models answer 404."""

    # The Kling gateway
    kling_answer: Literal["native", "openai", "flat", "bare"] = "native"
    """Which shape the answer to a submission has."""
    kling_shape: Literal["native", "wrapped", "wrapped-url", "flat", "bare", "openai", "qiniu", "mixed"] = "native"
    """Which shape the answer to a status check has; `mixed` draws one per task."""
    kling_errors: Literal["native", "new-api"] = "native"
    """Errors with Kling's numbers, or with the words of a gateway of the new-api family."""
    kling_motion_query: bool = True
    """Tasks of motion control are asked about where they were submitted; else at `/v1/video/generations/ID` only."""
    kling_pairs: tuple[str, ...] | None = None
    """`ACCESS:SECRET` pairs whose signatures are let in below `/v1/videos`; None lets in every well-made token."""
    kling_clock: float = 0.0
    """Seconds by which the service's clock is ahead of this machine's: in its `Date`, and for signatures."""
    kling_http_200: float = 0.5
    """Share of business errors that are sent under HTTP 200; the others have their documented status."""
    kling_external_query: bool = True
    """A task may be asked for by its `external_task_id`, which then is unique, and tasks are listed page by page."""
    webhook_secret: str | None = None
    """Signs callbacks in the Standard Webhooks way (`whsec_...`); None sends them unsigned."""

    # Hostile answers: what no sound service sends. All of them add up
    hostile_at: tuple[Station, ...] = STATIONS
    """The stations of a job's way at which the shares below hold."""
    endless_body: float = 0.0
    """Share of answers whose body never ends, as fast as it is read."""
    slow_body: float = 0.0
    """Share of answers that go on for ever, a byte a second."""
    gzip_bomb: float = 0.0
    """Share of answers whose few KB unpack to 256 MB."""
    cut_without_length: float = 0.0
    """Share of answers that give no length and end half way."""
    odd_headers: float = 0.0
    """Share of answers with a header that is no text, no number, or not meant."""
    large_headers: float = 0.0
    """Share of answers with two headers of 64 KB each."""
    odd_links: float = 0.0
    """Share of answers whose links to clips lead nowhere, into this machine, or are none."""
    odd_redirects: float = 0.0
    """Share of downloads that are redirected to no possible address, or in a circle."""
    odd_types: float = 0.0
    """Share of answers in which one value is of another type, or all of the answer."""
    surrogates: float = 0.0
    """Share of answers whose texts end with half an emoji."""
    control_characters: float = 0.0
    """Share of answers whose texts steer a terminal."""
    deep_json: float = 0.0
    """Share of answers that are 100 KB of brackets."""
    huge_enums: float = 0.0
    """Share of model documents whose parameters have choices up to 200 million, or 20,000 of them."""

    def changed(self, **settings: Any) -> Behaviour:
        """Return this behaviour with some settings changed. Raises ValueError for a name or value that is not one."""
        names = [field.name for field in fields(self)]
        for name in settings:
            if name not in names:
                near = ", ".join(difflib.get_close_matches(name, names, 3, 0.5))
                raise ValueError(f"the sandbox has no setting {name!r}" + (f": did you mean {near}?" if near else ""))
        return replace(self, **settings)

    def __post_init__(self) -> None:
        for name, expected in _kinds().items():
            try:
                expected.validate_python(getattr(self, name), strict=True)
            except ValidationError as error:
                why = error.errors()[0]["msg"].removeprefix("Input ")
                raise ValueError(f"{name}: {why}, not {getattr(self, name)!r:.200}") from None
            value = getattr(self, name)
            if isinstance(value, int | float) and value < 0 and name not in _MAY_BE_NEGATIVE:
                raise ValueError(f"{name} is a number from 0 on, not {value!r}")
        if self.max_rate == 0:
            raise ValueError("max_rate is a number above 0, or none at all")
        if any(not {"id", "status"} <= entry.keys() for entry in self.deprecations):
            raise ValueError("each of the deprecations has an id and a status")
        parse_law(self.seconds)
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, not {getattr(self, name)!r}")


_MAY_BE_NEGATIVE = ("seed", "kling_clock", "balance")


@lru_cache(maxsize=1)
def _kinds() -> dict[str, TypeAdapter[Any]]:
    """Return what each field may be."""
    config = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)
    return {name: TypeAdapter(hint, config=config) for name, hint in get_type_hints(Behaviour).items()}
