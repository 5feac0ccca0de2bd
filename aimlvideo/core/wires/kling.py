"""Kling-style gateways: bodies and places of their own; `kling_answers` reads what comes back.

Source: the Kling API reference and the documents of gateways that resell it, August 2026.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

from aimlvideo.core.catalog.endpoints import NAMED, endpoint_facts, flattened
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.rules import broken_rules
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.answers import MAX_MESSAGE_LENGTH, Body, State, id_in_location
from aimlvideo.core.wires.base import Callback, Generation, Helper, PathOf, SharedChecks
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.json_fields import as_id
from aimlvideo.core.wires.kling_answers import Task, read_data
from aimlvideo.core.wires.kling_tasks import ID_FIELD, Tasks, endpoint_of, form_of, possible_endpoints
from aimlvideo.core.wires.refusals import nameless, refusals_in_words, refuse_mixed_up
from aimlvideo.errors import Busy, ContentRefused, InvalidJobs, Problem, Refused, Rejected, Unclear

ROOT = "/kling/v1/videos"
CONTENT_SAFETY_CODE = 1301
MAX_PLACES = 10_000
"""Tasks whose place is remembered."""
_BARE_ID = re.compile(r"(?=.*[0-9])[A-Za-z0-9_-]{8,}")
"""An id and no word."""
_PLAIN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
MODELS_SERVICE = "kling"
"""The service of the catalogue whose models a gateway takes."""


class Kling:
    """The wire of a Kling-style gateway. A model's tasks are below the path that `path_of` names, else below `root`.

    Models that a path names are asked about together, at `TASKS`.
    """

    shared_checks: SharedChecks | None = None

    def __init__(
        self,
        *,
        legacy: bool = False,
        path_of: PathOf = lambda model: None,
        root: str = ROOT,
        service: str = MODELS_SERVICE,
    ) -> None:
        self._path_of, self._below, self._service = path_of, root, service
        self._places: OrderedDict[str, Request] = OrderedDict()

    def submission(self, job: VideoJob, request_id: str, callback_url: str | None = None) -> Request:
        """Return the POST that buys this job; its `external_task_id` is the id that we chose.

        Raises Rejected where no endpoint takes such a job.
        """
        endpoint = endpoint_of(job, self._service)
        ours = {ID_FIELD: request_id} if endpoint.sending.external_id else {}
        # A job's own callback URL wins: somebody waits there.
        theirs = {"callback_url": callback_url} if callback_url else {}
        body = _body_of(job, endpoint, {**theirs, **flattened(endpoint, job.params), **ours})
        # A job's own id may have letters that no header can hold.
        headers = {"X-Client-Request-Id": request_id} if _PLAIN_ID.fullmatch(request_id) else {}
        path = form_of(endpoint, self._root(job)).submission(endpoint)
        return Request("POST", path, body=body, headers=headers)

    def parse_submission(self, answer: Answer, request_id: str) -> Generation:
        """Return the generation that a submission's answer names.

        A body that says the submission failed and names no task is a refusal; one that says neither is unclear. A task
        that is shown under way was bought, whatever the status says: a proxy in between may have set it.
        """
        with refusals_in_words(request_id):
            try:
                task = Task.read(answer, request_id)
            except (Refused, Unclear):
                if (task_id := _id_in_location(answer) or _id_as_data(answer)) is None:
                    raise
                return Generation(task_id)
            refuse_mixed_up(task.external_id, request_id, answer.status)
            if task_id := task.id or _id_in_location(answer):
                return task.as_generation(task_id)
            if task.state is State.FAILED:
                kind = ContentRefused if task.content_refused else Rejected
                raise kind(
                    f"the gateway says: {(task.reason or task.status)[:MAX_MESSAGE_LENGTH]} (HTTP {answer.status})",
                    status=answer.status,
                    request_id=request_id,
                )
            raise nameless("the answer to a submission names no task", answer, request_id)

    def status(self, generation_id: str, job: VideoJob | None = None) -> tuple[Request, ...]:
        """Return the question about a task, where it was submitted; else each place in turn where it may have been.

        Where it was found once is not looked for again.
        """
        if (place := self._places.get(generation_id)) is not None:
            return (place,)
        questions = (
            question
            for endpoint in possible_endpoints(job, self._service)
            for question in form_of(endpoint, self._root(job)).questions(endpoint, generation_id)
        )
        return tuple({(question.path, question.query): question for question in questions}.values())

    def remember(self, generation_id: str, question: Request) -> None:
        """Note where a task was found."""
        self._places[generation_id] = question
        if len(self._places) > MAX_PLACES:
            self._places.popitem(last=False)

    def parse_status(self, answer: Answer, generation_id: str) -> Generation:
        """Return the generation as a status check's answer describes it, in any shape."""
        try:
            return Task.read(answer).as_generation(generation_id)
        except ContentRefused as error:
            if error.code != CONTENT_SAFETY_CODE:
                raise
            # A question has no content to refuse: some gateways answer their own limit of frequency with this code.
            raise Busy(str(error), status=error.status, code=error.code, retry_after=1.0, limit="rate") from error

    def _root(self, job: VideoJob | None) -> str:
        return (self._path_of(job.model) if job else None) or self._below


def _id_in_location(answer: Answer) -> str | None:
    """Return the task that an answer's `Location` names, below an endpoint or a gateway's own page of tasks."""
    return id_in_location(answer, (*endpoint_facts()["endpoints"], "generations"))


def _id_as_data(answer: Answer) -> str | None:
    """Return the task that an answer names by its `data` alone, as gateways' oldest form has it; None for other words.

    `{"code": "success", "data": "8aa5c1d0-..."}`.
    """
    body = Body.of(answer)
    if answer.status >= 300 or body is None or "code" not in body or body.error() is not None:
        return None
    task_id = as_id(body.get("data"))
    return task_id if task_id and _BARE_ID.fullmatch(task_id) else None


def path_below(base_path: str, path: str) -> str:
    """Return a request's path below a base URL that has a path of its own: what stands there is not said twice.

    `/v1/ai/{endpoint}/kling` has `/videos` below it, and a path that ends in `/videos` the endpoints themselves.
    """
    base, parts = base_path.strip("/").split("/"), path.strip("/").split("/")
    base = ["kling" if part == "klingai" else part for part in base]  # as 302.AI calls it
    # The longest overlap first: a base URL that ends in `/v1/videos` shares both parts with the path.
    overlap = next((n for n in range(len(parts), 0, -1) if base[-n:] == parts[:n]), 0)
    place = parts.index(_ENDPOINTS_BELOW) if _ENDPOINTS_BELOW in parts else 0
    if _NO_VERSION.search(base_path.rstrip("/")):
        overlap = place
    elif base[-1] == _ENDPOINTS_BELOW and place:
        overlap = place + 1
    return "/" + "/".join(parts[overlap:])


_ENDPOINTS_BELOW = "videos"
_NO_VERSION = re.compile(r"/v1/ai/[^/]+/kling$")


def helper_below(root: str) -> Helper:
    """Return the calls that prepare a task, below a root."""
    return Helper(partial(_helper_request, root=root), _read_helper)


def _helper_request(name: str, params: Mapping[str, Any], root: str) -> Request:
    """Return a call that prepares a task, such as `identify-face`. Raises InvalidJobs where it lacks something."""
    helpers: dict[str, Any] = endpoint_facts()["helpers"]
    if name not in helpers:
        raise InvalidJobs([Problem("helper", f"one of {', '.join(helpers)}", repr(name)[:60])])
    facts = helpers[name]
    # Checked like a model, so that a helper's parameters need no checker of their own.
    helper = Model.read(name, {"developer": "", "path": facts["path"], "endpoint": facts["path"], **facts})
    set_params = {key: value for key, value in params.items() if value is not None}
    required = [key for key, param in helper.params.items() if param.required and key not in set_params]
    problems = [Problem(key, f"required: {helper.params[key].expected()}", "nothing") for key in required]
    problems += [
        Problem(key, f"a parameter of {name}", "another one") for key in set_params if key not in helper.params
    ]
    problems += broken_rules(helper, set_params)
    if problems:
        raise InvalidJobs(problems)
    return Request("POST", f"{root}/{helper.path}", body=set_params)


def _read_helper(answer: Answer) -> dict[str, Any]:
    """Return what such a call answers: a session, the faces in a clip. Raises the error that the answer amounts to."""
    return dict(read_data(answer))


def _body_of(job: VideoJob, endpoint: Model, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a submission's body: the service's own names, entries as objects, parameters in their groups.

    Where the body names the model, durations are texts.
    """
    sending, body = endpoint.sending, {}
    for name, value in params.items():
        if name != NAMED:
            entries = value if name not in sending.entries else _as_objects(value, sending.entries[name])
            body[sending.sent_as.get(name, name)] = entries if sending.model_in_path else _with_texts(name, entries)
    if contents := [*_contents(body, sending.contents), *body.pop("contents", ())]:
        body["contents"] = contents
    for group, names in sending.inside.items():
        inner = {theirs: body.pop(theirs) for name in names if (theirs := sending.sent_as.get(name, name)) in body}
        body |= {group: inner} if inner else {}
    model = job.model if sending.sends_model else sending.default_model
    if not model:
        return body
    # With `model` alone, Kling makes and bills a kling-v1 clip.
    return {"model_name": model, "model": model, **body}


def _contents(body: dict[str, Any], types: Mapping[str, str]) -> list[dict[str, Any]]:
    """Take the parameters that are sent as entries of `contents` out of a body; return the entries."""
    return [
        {"type": kind, "text" if kind == "prompt" else "url": body.pop(name)}
        for name, kind in types.items()
        if name in body
    ]


def _as_objects(entries: Any, key: str) -> Any:
    if not isinstance(entries, list | tuple):
        return entries
    return [entry if isinstance(entry, Mapping) else {key: entry} for entry in entries]


def _with_texts(name: str, value: Any) -> Any:
    """Write durations as texts, also those of shots, and number the shots."""
    if name == "duration":
        # The service takes durations as texts, and "5.0" is none that it knows.
        return str(int(value) if isinstance(value, float) and value.is_integer() else value)
    if name == "multi_prompt" and isinstance(value, list | tuple):
        return [_shot(number, shot) for number, shot in enumerate(value, 1)]
    return value


def _shot(number: int, shot: Any) -> Any:
    if not isinstance(shot, Mapping):
        return shot
    texts = {name: _with_texts(name, value) for name, value in shot.items()}
    return {"index": number, **texts}


def read_callback(body: Any) -> Callback | None:
    """Return what a callback's body says of a task, or None where it names none."""
    task = Task.of_callback(body)
    if task is None or not (task.id or task.external_id):
        return None
    return Callback(task.id, task.external_id, State.named(task.status))


LOOKUP, HELPER = Tasks(ROOT, MODELS_SERVICE).lookup, helper_below(ROOT)
