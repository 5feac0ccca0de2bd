"""Kling's models that a path names: each is submitted at a path of its own, and their tasks are asked for together.

Made from kling.ai/document-api, September 2026, and nothing of the client's. That a question names 20 tasks at most,
and that tasks of older models are found here too, others saw at the service itself in that month.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from aiohttp import web

from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.film.storyboard import plan
from aimlvideo.sandbox.generation import Generation, draw_outcome
from aimlvideo.sandbox.kling import answer_submission, page_by_cursor, read_submission
from aimlvideo.sandbox.kling_json import LISTED, as_listed, in_envelope
from aimlvideo.sandbox.kling_validation import picture_faults
from aimlvideo.sandbox.middleware import WORLD
from aimlvideo.sandbox.prices import gateway_price
from aimlvideo.sandbox.responses import Refusal, about, as_json, cut_connection, read_json
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.state import Accepted, World
from aimlvideo.sandbox.validation import Fault, shorten

_SECONDS = 90.0
"""Documented processing time of a task."""
_MOST_ASKED = 20
_LARGEST_PICTURE = 50 * 1024 * 1024
_SHAPES = ("16:9", "9:16", "1:1")
_OPTIONS = {"callback_url": str, "external_task_id": str, "watermark_info": dict}


@dataclass(frozen=True)
class _Offer:
    """What one path takes: the words of its settings, and the types of its contents (none: a plain prompt)."""

    settings: Mapping[str, tuple[Any, ...]]
    contents: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()


def _video(resolutions: str, longest: int, *, ratio: bool, audio: str = "", shots: bool = False) -> dict[str, Any]:
    lengths = (5, 10) if longest == 0 else tuple(range(3, longest + 1))
    settings: dict[str, Any] = {"resolution": tuple(resolutions.split()), "duration": lengths}
    settings |= {"aspect_ratio": _SHAPES} if ratio else {}
    settings |= {"audio": tuple(audio.split())} if audio else {}
    return settings | ({"multi_shot": (True, False)} if shots else {})


_MOTION = {
    "resolution": ("720p", "1080p"),
    "audio": ("original", "off"),
    "character_orientation": ("image", "video"),
}
_FRAMES = ("prompt", "first_frame", "last_frame")
_OMNI = (*_FRAMES, "refer_image", "feature_video", "base_video", "element")
OFFERS: Mapping[str, _Offer] = {
    "text-to-video/kling-2.5-turbo": _Offer(_video("720p 1080p", 0, ratio=True)),
    "image-to-video/kling-2.5-turbo": _Offer(_video("720p 1080p", 0, ratio=False), _FRAMES, ("first_frame",)),
    "text-to-video/kling-2.6": _Offer(_video("720p 1080p", 0, ratio=True, audio="native off")),
    "image-to-video/kling-2.6": _Offer(
        _video("720p 1080p", 0, ratio=False, audio="native off"), (*_FRAMES, "voice"), ("first_frame",)
    ),
    "motion-control/kling-2.6": _Offer(_MOTION, ("prompt", "image", "video"), ("image", "video")),
    "text-to-video/kling-3.0": _Offer(_video("720p 1080p 4k", 15, ratio=True, audio="native off", shots=True)),
    "image-to-video/kling-3.0": _Offer(
        _video("720p 1080p 4k", 15, ratio=False, audio="native off", shots=True),
        (*_FRAMES, "element"),
        ("first_frame",),
    ),
    "motion-control/kling-3.0": _Offer(_MOTION, ("prompt", "image", "video", "element"), ("image", "video")),
    "text-to-video/kling-3.0-turbo": _Offer(_video("720p 1080p", 15, ratio=True)),
    "image-to-video/kling-3.0-turbo": _Offer(
        _video("720p 1080p", 15, ratio=False), ("prompt", "first_frame"), ("first_frame",)
    ),
    "omni-video/kling-3.0-omni": _Offer(
        _video("720p 1080p 4k", 15, ratio=True, audio="native original off", shots=True), _OMNI
    ),
    "omni-video/kling-o1": _Offer(_video("720p 1080p", 10, ratio=True, audio="original off"), _OMNI),
}
"""What each path takes."""


def task_routes() -> list[web.RouteDef]:
    """Return the handlers of all models that a path names, and of the page that knows their tasks."""
    submissions = [web.post(f"/{path}", _submit) for path in OFFERS]
    return [*submissions, web.get("/tasks", _check), web.post("/tasks", _list)]


async def _submit(request: web.Request) -> web.Response:
    """Answer a submission."""
    path, body = request.path.removeprefix("/"), await read_submission(request)
    options = body.get("options")
    external = options.get("external_task_id") if isinstance(options, dict) else None
    return answer_submission(request, external, partial(_judge, request.app[WORLD], path, body), _first_answer)


def _first_answer(behaviour: Behaviour, generation: Generation, host: str) -> dict[str, Any]:
    return in_envelope(as_listed(behaviour, generation, "queued", host), Dice(behaviour.seed, generation.id))


async def _check(request: web.Request) -> web.Response:
    """Answer a status check of one task or several, by their ids or by the ids that the caller chose."""
    world, query = request.app[WORLD], request.query
    if ("task_ids" in query) == ("external_task_ids" in query):
        raise Refusal("invalid", message="either task_ids or external_task_ids")
    known = world.by_id if "task_ids" in query else world.by_external_id
    asked = (query.get("task_ids") or query.get("external_task_ids") or "").split(",")
    if len(asked) > _MOST_ASKED:
        raise Refusal("invalid", message=f"task_ids cannot exceed {_MOST_ASKED} in total")
    found = [
        task
        for name in asked
        if (task := known.get(name)) is not None
        and task.wire.startswith("kling")
        and monotonic() - task.accepted_at >= world.behaviour.appears_after
    ]
    world.tally.polls_unknown += len(asked) - len(found)
    rows = []
    for task in found:
        _, dice = world.check_in(task)
        if world.drops_check(dice):
            return cut_connection(request)
        phase = task.phase(monotonic())
        row = as_listed(world.behaviour, task, phase, request.host)
        rows.append(row | ({"status": word} if (word := world.odd_status_word(dice, phase)) is not None else {}))
    answer = as_json(in_envelope(rows, Dice(world.behaviour.seed, "tasks")))
    return about(found[0], answer) if len(found) == 1 else answer


async def _list(request: web.Request) -> web.Response:
    """Answer a page of tasks, newest first; the cursor says how many came before it."""
    world, now, body = request.app[WORLD], monotonic(), await read_json(request)
    mine = [generation for generation in reversed(world.generations) if generation.wire.startswith("kling")]
    page, more = page_by_cursor(body, mine, 100)
    rows = [as_listed(world.behaviour, task, task.phase(now), request.host) for task in page]
    return as_json(in_envelope({"result": rows, "count": len(rows), **more}, Dice(world.behaviour.seed, "tasks")))


def _judge(world: World, path: str, body: Mapping[str, Any], dice: Dice) -> Accepted:
    """Return what is accepted, or raise what is wrong with it."""
    if faults := list(find_task_faults(path, body)):
        raise Refusal("invalid", details=[fault.as_json() for fault in faults])
    options, settings = body.get("options") or {}, body.get("settings") or {}
    external = options.get("external_task_id")
    if external and external in world.by_external_id:
        raise Refusal("duplicate", message=f"External_task_id {external} already exists")
    params = _as_params(body, settings)
    return Accepted(
        wire=LISTED,
        model=path.rpartition("/")[2],
        fate=draw_outcome(world.behaviour, dice, _SECONDS, kling=True),
        price=gateway_price("pro" if settings.get("resolution") == "1080p" else "std", float(params["duration"])),
        board=plan(params, {"aspect_ratio": "16:9"}.get, lambda name: {}),
        external_task_id=external or None,
        callback_url=options.get("callback_url") or None,
    )


def _as_params(body: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Name the parts of a request as a storyboard reads them."""
    first = {str(entry["type"]): entry for entry in reversed(body.get("contents", []))}
    picture = first.get("first_frame") or first.get("image") or {}
    return {
        "prompt": body.get("prompt") or first.get("prompt", {}).get("text"),
        "duration": str(settings.get("duration", 5)),
        "aspect_ratio": settings.get("aspect_ratio") or ("auto" if picture else None),
        "image_url": picture.get("url"),
        "tail_image_url": first.get("last_frame", {}).get("url"),
        "image_list": [entry["url"] for entry in body.get("contents", []) if entry["type"] == "refer_image"] or None,
    }


def find_task_faults(path: str, body: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield all that is wrong with a submission at a path."""
    offer = OFFERS[path]
    text = "contents" if offer.contents else "prompt"
    yield from (
        Fault((name,), f"one of {text}, settings, options", "an unknown field")
        for name in body.keys() - {text, "settings", "options"}
    )
    settings, options = body.get("settings", {}), body.get("options", {})
    if not isinstance(settings, dict):
        yield Fault(("settings",), "an object", shorten(settings))
        settings = {}
    yield from _settings(path, offer, settings)
    if not isinstance(options, dict) or any(
        not isinstance(value, _OPTIONS.get(name, ())) for name, value in options.items()
    ):
        yield Fault(("options",), "callback_url, external_task_id, watermark_info", shorten(options))
    if offer.contents:
        yield from _contents(path, offer, settings, body.get("contents"))
    elif not isinstance(body.get("prompt"), str) or not 0 < len(body["prompt"]) <= _longest(path):
        yield Fault(("prompt",), f"a text of 1 to {_longest(path)} characters", shorten(body.get("prompt")))


def _longest(path: str) -> int:
    return 3072 if "kling-3.0" in path and not path.startswith("motion") else 2500


def _settings(path: str, offer: _Offer, settings: Mapping[str, Any]) -> Iterator[Fault]:
    for name, value in settings.items():
        if name == "seed" and path.startswith("omni-video"):
            # On no page; that it is checked here, others saw at the service.
            if type(value) is not int:
                yield Fault(("settings", name), "a number", shorten(value))
            continue
        words = offer.settings.get(name)
        # `type`, because 1 is True, and a length is a number here.
        if words is None or not any(type(word) is type(value) and word == value for word in words):
            expected = "no such setting" if words is None else "one of " + ", ".join(map(str, words))
            yield Fault(("settings", name), expected, shorten(value))
    if "character_orientation" in offer.settings and "character_orientation" not in settings:
        yield Fault(("settings", "character_orientation"), "image or video", "nothing")
    if path.endswith("kling-2.6") and settings.get("audio") == "native" and settings.get("resolution") != "1080p":
        yield Fault(("settings", "resolution"), "1080p with native audio", shorten(settings.get("resolution")))


def _contents(path: str, offer: _Offer, settings: Mapping[str, Any], contents: Any) -> Iterator[Fault]:
    if not isinstance(contents, list) or not contents or not all(isinstance(entry, dict) for entry in contents):
        yield Fault(("contents",), "a list of objects", shorten(contents))
        return
    types = [entry.get("type") for entry in contents]
    for number, entry in enumerate(contents):
        yield from _content(("contents", number), offer, entry)
    for needed in offer.needed:
        if types.count(needed) != 1:
            yield Fault(("contents",), f"one {needed}", f"{types.count(needed)}")
    if "last_frame" in types and "first_frame" not in types:
        yield Fault(("contents",), "no last frame without a first one", "a last frame")
    yield from _between(path, settings, {kind for kind in types if isinstance(kind, str)})


def _content(place: tuple[str | int, ...], offer: _Offer, entry: Mapping[str, Any]) -> Iterator[Fault]:
    kind = entry.get("type")
    if kind not in offer.contents:
        yield Fault((*place, "type"), "one of " + ", ".join(offer.contents), shorten(kind))
    elif kind == "prompt":
        if not isinstance(entry.get("text"), str) or not entry["text"]:
            yield Fault((*place, "text"), "a text", shorten(entry.get("text")))
    elif kind in ("element", "voice"):
        if not entry.get(f"{kind}_id") or not entry.get("id"):
            yield Fault(place, f"{kind}_id and id", shorten(entry))
    elif "video" in str(kind):
        if not str(entry.get("url", "")).startswith(("http://", "https://")):
            yield Fault((*place, "url"), "a link", shorten(entry.get("url")))
    else:
        yield from picture_faults((*place, "url"), entry.get("url"), _LARGEST_PICTURE)


def _between(path: str, settings: Mapping[str, Any], types: set[str]) -> Iterator[Fault]:
    """Yield what is wrong with settings beside contents of these types."""
    if "last_frame" in types and path.endswith(("2.5-turbo", "2.6")) and settings.get("resolution") != "1080p":
        yield Fault(("settings", "resolution"), "1080p with a last frame", shorten(settings.get("resolution")))
    if not path.startswith("omni-video"):
        return
    clips = types & {"feature_video", "base_video"}
    if not clips and "first_frame" not in types and "aspect_ratio" not in settings:
        yield Fault(("settings", "aspect_ratio"), "a ratio without a first frame or a clip", "nothing")
    if clips and settings.get("audio") == "native":
        yield Fault(("settings", "audio"), "no native audio with a clip", "native")
    if "base_video" in types and types & {"first_frame", "last_frame"}:
        yield Fault(("contents",), "no frames beside a clip to edit", "both")
