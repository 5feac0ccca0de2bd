"""What the answers of every service have in common: status words, errors under HTTP 200, links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.json_fields import as_id, as_number, as_text

_SPELLINGS = str.maketrans(
    {" ": "_", "-": "_", "\N{LATIN SMALL LETTER DOTLESS I}": "i", "\N{COMBINING DOT ABOVE}": None}
)
"""Letters of a status word that are spelled otherwise; a server with Turkish settings makes `FAİLED` of `failed`."""


class State(StrEnum):
    """Where a generation stands at the service."""

    QUEUED = "queued"
    RENDERING = "rendering"
    COMPLETED = "completed"
    FAILED = "failed"

    @classmethod
    def named(cls, word: str) -> State | None:
        """Return what a status word says, however it is written; None for one that is missing or new."""
        if (state := STATES.get(word)) is not None:
            return state
        spelled = word.strip().lower().translate(_SPELLINGS)
        # Some pass a constant on as it is called: `TASK_STATUS_FAILED`.
        return STATES.get(spelled) or STATES.get(spelled.rpartition("status_")[2])

    @classmethod
    def shown_by(cls, word: str, *, has_link: bool, reason: str | None) -> State:
        """Return what a status word means; where it is unknown or misses its clip, what the rest of the answer shows.

        An unknown word, or "unknown", with a link is completed; such a word, or completed without a link, is failed
        where the answer gives a reason. Whatever else is unknown is not finished yet.
        """
        state = None if word.strip().lower() in SAYS_NOTHING else cls.named(word)
        # A clip that is there is done, whatever new word a service has found for that.
        if state is None and has_link:
            return cls.COMPLETED
        # "Completed" without a clip is believed only as far as: it may be a moment early. With a reason beside it, it
        # has failed.
        if state in (None, cls.COMPLETED) and not has_link:
            return cls.FAILED if reason else cls.RENDERING
        return state or cls.RENDERING


ENDED_STATES = (State.COMPLETED, State.FAILED)
"""States after which nothing more comes."""

# Texts, which `re` compiles at their first use and keeps: a start needs none of them.
_NO_PATH = (
    r"(?i)cannot (get|post|find this path)|no (such |)(path|route|endpoint)|invalid url|(page|route) not found"
    r"|^not found\.?$"
)
_STATUS_WORDS = {
    State.QUEUED: "submitted queued in_queue not_start not_started pending waiting created accepted scheduled queueing "
    "preparing throttled staged",
    State.RENDERING: "processing in_progress running generating starting active dreaming unknown",
    State.COMPLETED: "succeed succeeded success successful completed complete done finished ready",
    State.FAILED: "failed failure fail error cancelled canceled aborted terminated expired rejected blocked "
    "timeout timed_out moderated request_moderated content_moderated nsfw",
}

_JUST_FAILED = ("failed", "failure", "fail", "error", "")
"""Status words that say no more than that a generation failed."""
NO_REASON = "no reason given"

REQUEST_FAILED = ("error", "fail")
"""Words that stand for a request, too: in the envelope that is called JSend."""
SAYS_NOTHING = ("unknown",)
"""Words by which a gateway says that it does not know either: what stands beside them counts."""
STATES = {word: state for state, words in _STATUS_WORDS.items() for word in words.split()}
"""Status words of all services, documented and seen, in lower case and with `_`."""

LOCATING = (200, 201, 202, 302, 303)
"""Statuses whose `Location` may name what was made; those of 307 and 308 say where to send the same again."""

NO_METHOD, PROXY_REFUSED, TOO_LARGE = 405, 407, 413
MAKE_SMALLER = "Its local files are too large together: give links to them, or --upload (upload=)"
NEVER_PROCESSED = (425, 503, 511)
"""Too early, unavailable, and what lies in between wants a login: the request went no further."""

QUESTION_REFUSED = (400, 422)
"""Some services answer so when they are asked about a generation that has failed."""
ANSWER_LOST = (408, 444, 460, 499)
"""Whoever lies in between gave up, or says that we did: what became of the request behind it, nobody knows."""

MAX_MESSAGE_LENGTH = 500
"""Characters of a service's message that are shown."""

GOOD_CODES = ("", "0", "200", "201", "202", "ok", "success", "succeed", "succeeded")
"""The words for "no error", in lower case."""

ID_FIELDS = ("task_id", "id", "generation_id", "taskId", "generationId")
STATUS_FIELDS = ("task_status", "status", "state")
_GENERATION_NAMES = frozenset((*ID_FIELDS, *STATUS_FIELDS, "video", "videos"))
"""An answer with one of these is about a generation, and its `error` is that generation's."""

WRAPPERS = ("data", "response", "result", "output", "task", "generation")
"""Under these names an answer may hold the object that is meant."""

CODE_FIELDS = (
    "statusCode", "status_code", "code", "errcode", "error_code", "err_code", "errno", "errorCode", "errCode",
    "retcode", "ret_code", "ret", "resultCode", "result_code",
)  # fmt: skip
"""Where a body says the number or word of its error; also inside `base_resp`."""

MESSAGE_FIELDS = (
    "message", "msg", "status_msg", "errmsg", "error_msg", "error_message", "err_msg", "errorMessage", "errMsg",
    "detail", "faultstring", "title",
)  # fmt: skip
"""Where a body says in words what went wrong."""

ERROR_FIELDS = ("error", "errors", "fault")
"""Where a body has an error as an object of its own."""
ERROR_WRAPPERS = (*WRAPPERS, "responseMetadata")
SUCCESS_FIELDS = ("success", "ok")
"""Where a body says in a word whether the request was accepted."""

FAILURE_FIELDS = (
    "error", "errors", "fail_reason", "failure_reason", "failReason", "failureReason", "task_status_msg", "failure",
    "raiMediaFilteredReasons", "rai_media_filtered_reasons",
)  # fmt: skip
"""Where a generation says why it failed; each of them alone says that it did."""
_FAILURE_NAMES = frozenset(FAILURE_FIELDS)
FAILED_REASON_FIELDS = (*FAILURE_FIELDS, "reason", *MESSAGE_FIELDS)

_RESPECTS = "respect_moderation"
"""By this flag, of itself or of its clip, xAI says of a generation that is done whether the clip is given out."""
_FILTERED = "raiMediaFilteredCount"
"""How many clips Google has withheld."""
_WITHHELD = f"moderation withholds the clip ({_RESPECTS}: false)"

LINK_FIELDS = (
    "video", "videos", "video_url", "video_urls", "videoUrl", "videoUrls", "output", "outputs", "url", "urls",
    "result_url", "resultUrl", "download_url", "downloadUrl",
)  # fmt: skip
LINK_HOLDERS = (
    "result", "results", "task_result", "data", "response", "output", "outputs", "generation", "generations", "content",
    "assets", "files", "file", "metadata", "creations", "artifacts",
)  # fmt: skip
"""Under these names an answer may hold its clips, directly or one object further in. What was sent is in none."""
LINK_KEYS = ("url", "video_url", "uri", "href", "download_url", "videoUrl", "downloadUrl", "src", "link", "urls")
MAX_DEPTH = 4
_LINK = re.compile(r"\s*([a-z][a-z0-9+.-]*:|/|\\\\|[^\s]+\.(mp4|mov|webm|m4v)\b)", re.IGNORECASE)
_WEB_LINK = re.compile(r"\s*https?://\S+\s*$", re.IGNORECASE)
_VIDEO_FILE = re.compile(r"\s*https?://[^\s?#]+\.(mp4|mov|webm|m4v)([?#]\S*)?\s*$", re.IGNORECASE)
_NOT_THE_CLIP = (
    r"(?i)input|request|param|argument|prompt|payload|option|task_?info|parent|(?<!re)source|refer|image|frame|callback"
    r"|hook|audio|sound|voice|subtitle|thumb|cover|poster|preview|(?<!without_)watermark|animat|gif|error|fail|reason"
    r"|message|document|status"
)
"""In names of what a request had, or of what accompanies a clip."""
_CLEAN = "without_watermark"
"""Ends the name of the clip as it was paid for, where one with a watermark stands beside it."""

_RATE_OF_MEDIA = r"(?i)\b(frame|bit|sampl\w+)[ _-]?(rate|frequency)|(采样|音频|视频)频率"
"""Rates of what a job is made of: their limits say nothing of how often the service was asked."""

_TOO_OFTEN = r"""(?ix)
    too[ ]many[ ](requests|calls|queries|attempts) | rate[ _-]?limit | throttl | too[ ](frequent|fast|often)
    | (request|call|query|access)s?[ ](frequency|rate)[ ](limit|exceed|too) | frequency[ ](limit|exceed|control)
    | \boverloaded\b | \bat[ ]capacity\b | \b(server|service|system|model|engine)[ ](is[ ])?(currently[ ]|too[ ])?busy\b
    | \b[qr]p[sm]\b | slow[ ]down | requests?[ ]per[ ](second|minute)
    | \bload\b.{0,20}\bsaturated\b
    | 频繁 | 繁忙 | 频率 | 限流 | 饱和 | 请求过(多|快)
    """
_TOO_MANY_AT_ONCE = r"""(?ix)
    too[ ]many[ ](concurrent|parallel)
    | too[ ]many[ ](simultaneous|active|running|ongoing)[ ](\w+[ ]){0,2}(request|task|job|generation|call|render)
    | \b(concurren\w*|parallel|simultaneous)[ ](\w+[ ]){0,4}(limit|exceed|reached)
    | \b(maximum|max|limit|exceed\w*)[ ](\w+[ ]){0,4}(concurren|parallel|simultaneous)
    | (^|\bcode\W{1,3})1303\b | 并发
    """


class Body(dict[str, Any]):
    """An object in an answer, read by the names that services have in common."""

    @classmethod
    def of(cls, answer: Answer) -> Self | None:
        """Return the object that an answer is; a list stands for its only entry. None where it is something else."""
        value = answer.json()
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        return cls(value) if isinstance(value, dict) else None

    def inner(self, names: Iterable[str] = WRAPPERS) -> Self | None:
        """Return the object that this one holds under one of these names; a list stands for its only entry.

        It may be a text that is JSON itself.
        """
        for name in names:
            inner = self.get(name)
            # Some gateways pass on an answer as they got it: as a text.
            if isinstance(inner, str) and inner.lstrip().startswith("{"):
                inner = Answer.of(inner.encode()).json()
            if isinstance(inner, list) and len(inner) == 1:
                inner = inner[0]
            if isinstance(inner, dict):
                return type(self)(inner)
        return None

    def fails_the_check(self) -> bool:
        """Tell whether our question failed, and not a generation, by a `{"status": "error"}` with words around nothing.

        A generation that failed is named, or has an error of its own.
        """
        word, message = self.get("status"), self.get("message") or self.get("msg")
        is_envelope = isinstance(word, str) and word.strip().lower() in REQUEST_FAILED and isinstance(message, str)
        return is_envelope and self.keys().isdisjoint((*ID_FIELDS, *FAILURE_FIELDS, "video", "videos", "meta"))

    def links(self, *, surely_there: bool = False) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
        """Return the links of all clips, from the first place that has any, and their bytes, where it says any.

        Where a clip is `surely_there`, as the status says, unusual places are searched too: it was paid.
        """
        clips = _clips(self, 0)
        if surely_there and not clips:
            clips = dict.fromkeys(_unusual_links(self))
        sizes = tuple(clips.values())
        return tuple(clips), sizes if any(sizes) else ()

    def failure(self, *, surely_failed: bool = False) -> Any:
        """Return why a generation failed, as it stands here; None where nothing says that it did.

        Where it is known that it `surely_failed`, a plain message is the reason, too.
        """
        if not surely_failed and _FAILURE_NAMES.isdisjoint(self):
            return self._why_withheld()
        names = FAILED_REASON_FIELDS if surely_failed else FAILURE_FIELDS
        cause = next((self[name] for name in names if self.get(name)), None)
        links = isinstance(cause, str) and cause.startswith(("http://", "https://"))
        if not cause and surely_failed and isinstance(base := self.get("base_resp"), dict):
            cause = type(self)(base).failure(surely_failed=True)
            cause = None if str(cause).lower() in GOOD_CODES else cause
        return self._why_withheld() if links or not cause else cause  # older gateways put the clip's link there

    def _why_withheld(self) -> str | None:
        """Return that moderation withholds the clip, where a flag alone says so; None where nothing does."""
        shown = (self, *_entries(self.get("video")))
        if any(isinstance(one, dict) and one.get(_RESPECTS) is False for one in shown):
            return _WITHHELD
        filtered = as_number(self.get(_FILTERED))
        return f"moderation withholds {filtered:g} of the clips ({_FILTERED})" if filtered else None

    def error(self) -> tuple[str, Any] | None:
        """Return code and words where this says itself that the request failed, whatever its HTTP status; else None."""
        body = self._in_lower_case()
        base = body.get("base_resp")
        layers = (body, base) if isinstance(base, dict) else (body,)
        words = next((layer[name] for layer in layers for name in MESSAGE_FIELDS if layer.get(name)), None)
        error = next((body[name] for name in ERROR_FIELDS if body.get(name)), None)
        for value in (_http_status(body), *(layer.get(name) for layer in layers for name in CODE_FIELDS)):
            code = "" if value is None or value is False else (as_text(value) or str(value)).strip()
            if code.lower() not in GOOD_CODES:
                return code, words or error
        if any(str(body.get(name, "")).lower() in ("false", "0") for name in SUCCESS_FIELDS):
            return "", error or words
        if not _GENERATION_NAMES.isdisjoint(body):
            return None  # it is about a generation, and so is the error in it
        inner = body.inner(ERROR_WRAPPERS)
        if error and not inner:
            code = (as_text(error.get("code")) if isinstance(error, dict) else None) or ""
            return ("" if code.lower() in GOOD_CODES else code), error
        if body.get("detail") and not inner:
            return "", body["detail"]
        return inner.error() if inner else None

    def _in_lower_case(self) -> Self:
        """Return this with names that begin with a small letter: some services write `Code` and `Message`."""
        if not any(name[:1].isupper() for name in self):
            return self
        small = {name[:1].lower() + name[1:]: value for name, value in self.items()}
        cls = type(self)
        return cls(
            {name: cls(value)._in_lower_case() if isinstance(value, dict) else value for name, value in small.items()}
        )


def _http_status(body: Mapping[str, Any]) -> int | None:
    """Return the HTTP status that a body repeats, as RFC 9457 has it, where it is one of an error."""
    status = body.get("status")
    # `type`, not `isinstance`: True is an int, and no HTTP status.
    return status if type(status) is int and 400 <= status < 600 else None


def counts_as_end(state: State, status: int) -> bool:
    """Tell whether an end that a status check's answer shows is believed, though its HTTP status is one of an error.

    A clip that is there is done under any. A failure counts where the question was refused as wrong: it has nothing in
    it that could be. Under other statuses it may be that of whoever lies in between.
    """
    return state is State.COMPLETED or (state is State.FAILED and status in QUESTION_REFUSED)


def shows_under_way(word: str, error: Any) -> bool:
    """Tell whether an answer shows a generation that was accepted: under way or completed, and without an error."""
    return not error and State.named(word) not in (None, State.FAILED)


def id_in_location(answer: Answer, places: Iterable[str]) -> str | None:
    """Return the id in the `Location` of a submission's answer: in its query, or below one of these places.

    None where it names none, or where the status says that the submission itself belongs there.
    """
    location = answer.headers.get("location", "").strip()
    if not location or answer.status not in LOCATING:
        return None
    try:
        parts = urlsplit(location)
    except ValueError:
        return None
    queried = next((as_id(value) for name, value in parse_qsl(parts.query) if name in ID_FIELDS and name != "id"), None)
    above, _, last = f"/{parts.path.strip('/')}".rpartition("/")
    is_below = any(above.endswith(f"/{place}") for place in places)
    return queried or (as_id(unquote(last)) if is_below else None)


def passed_limit(text: str) -> str | None:
    """Return which limit a message says was passed, as `Busy` names it; None where it speaks of what was requested."""
    text = re.sub(_RATE_OF_MEDIA, " ", text)
    if re.search(_TOO_MANY_AT_ONCE, text):
        return "outstanding"
    return "rate" if re.search(_TOO_OFTEN, text) else None


def _unusual_links(value: Any, *, of_video: bool = False) -> list[str]:
    """Return the first link to a video at any place that echoes no request; one for each entry of a list."""
    if isinstance(value, list):
        return [links[0] for entry in value if (links := _unusual_links(entry, of_video=of_video))]
    if isinstance(value, dict):
        inner = (
            _unusual_links(part, of_video=of_video or "video" in name.lower())
            for name, part in sorted(value.items(), key=lambda one: not one[0].endswith(_CLEAN))
            if not re.search(_NOT_THE_CLIP, name)
        )
        return next((links for links in inner if links), [])
    is_link = isinstance(value, str) and (_VIDEO_FILE.match(value) or (of_video and _WEB_LINK.match(value)))
    return [value.strip()] if is_link else []


def _clips(body: Mapping[str, Any], depth: int) -> dict[str, int | None]:
    for name in LINK_FIELDS:
        # The first place that has any, not all places: gateways repeat the same clip under several names.
        if name in body and (clips := {link: _size(clip) for clip in _entries(body[name]) for link in _links(clip)}):
            return clips
    # Only below names that hold results: a link of the request (the start picture, a callback) stands in the same
    # answers, and must not be taken for the clip.
    for name in LINK_HOLDERS if depth < MAX_DEPTH else ():
        clips_here: dict[str, int | None] = {}
        for entry in _entries(body[name]) if name in body else ():
            if isinstance(entry, dict):
                own = {link: _size(entry) for link in _links(entry)}
                clips_here |= own or _clips(entry, depth + 1)
            elif isinstance(entry, str) and _LINK.match(entry):
                clips_here[entry.strip()] = None
        if clips_here:
            return clips_here
    return {}


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _links(clip: Any) -> list[str]:
    """Return the links of one clip: its own, or the first of the places where it has some."""
    if isinstance(clip, str):
        return [clip.strip()] if clip.strip() else []
    if isinstance(clip, dict):
        for name in LINK_KEYS:
            value = clip.get(name)
            texts = [text.strip() for text in _entries(value) if isinstance(text, str) and text.strip()]
            if isinstance(value, list) and not name.endswith("s"):
                texts = [text for text in texts if _LINK.match(text)]
            if texts:
                return texts
    return []


def _size(clip: Any) -> int | None:
    size = clip.get("file_size") if isinstance(clip, dict) else None
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def is_about_the_path(answer: Answer, message: str) -> bool:
    """Tell whether a 404 says that there is nothing at this address, and not that there is no such model."""
    body = answer.json()
    return not isinstance(body, dict) or ("model" not in message.lower() and bool(re.search(_NO_PATH, message)))


def failure_text(reason: str, status: str) -> str:
    """Return why a generation failed, for people; without a reason, a status that says more than that it failed."""
    if reason and reason != NO_REASON:
        return reason[:MAX_MESSAGE_LENGTH]
    return NO_REASON if status.strip().lower() in _JUST_FAILED else f"{NO_REASON}, but the status {status[:60]!r}"


def error_text(error: Any) -> str:
    """Return a generation's error for people, from the shapes in which it comes."""
    match error:
        case str() if error:
            return error[:MAX_MESSAGE_LENGTH]
        case {"detail": [*details]}:
            return "; ".join(_detail(one) for one in details)[:MAX_MESSAGE_LENGTH] or NO_REASON
        # Before "detail" as text: where both stand, the message is the one written for people.
        case {"message": str(message), **rest}:
            name = rest.get("name") or rest.get("code")
            return (f"{name}: {message}" if name else message)[:MAX_MESSAGE_LENGTH]
        case {"detail": str(words)} | {"reason": str(words)} | {"msg": str(words)} | {"faultstring": str(words)}:
            name = error["code"] if isinstance(error, dict) and error.get("code") else None
            return (f"{name}: {words}" if name else words)[:MAX_MESSAGE_LENGTH]
        case [_, *_]:
            return "; ".join(map(_detail, error))[:MAX_MESSAGE_LENGTH]
    return NO_REASON if not error else str(error)[:MAX_MESSAGE_LENGTH]


def _detail(one: Any) -> str:
    if not isinstance(one, dict):
        return str(one)
    loc = one.get("loc", one.get("path"))
    words = one.get("msg") or (one.get("message") if isinstance(loc, list) else None)
    if not words:
        return error_text(one)
    place = ".".join(str(part) for part in (loc if isinstance(loc, list) else [loc or ""]) if part != "body")
    unsaid = (name for name in ("expected", "received") if name in one and name not in str(words).lower())
    text = ", ".join((str(words), *(f"{name} {one[name]}" for name in unsaid)))
    return f"{place}: {text}" if place else text
