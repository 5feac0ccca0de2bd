"""Kling-style gateways: bodies and places of their own; `kling_answers` reads what comes back.

Source: the Kling API reference and the documents of gateways that resell it, August 2026.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.endpoints import NAMED, choose_endpoint, endpoint_facts, flattened
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.rules import broken_rules
from aimlvideo.core.catalog.validation import model_of
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.answers import MAX_MESSAGE_LENGTH, Body, State, id_in_location
from aimlvideo.core.wires.base import Callback, Generation, Helper, LookupById, PathOf, SharedChecks, TaskList
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.json_fields import as_id
from aimlvideo.core.wires.kling_answers import Task, read_data
from aimlvideo.core.wires.refusals import nameless, refusals_in_words, refuse_mixed_up
from aimlvideo.errors import Busy, ContentRefused, InvalidJobs, Problem, Refused, Rejected, Unclear

ROOT = "/kling/v1/videos"
ID_FIELD = "external_task_id"
"""The parameter in which a job may name the id that is sent."""
CONTENT_SAFETY_CODE = 1301
MAX_PLACES = 10_000
"""Tasks whose place is remembered."""
LIST_ROWS = 500
"""Tasks on a page of the service's list: the most that it takes, since it gives a thousand pages."""
_BARE_ID = re.compile(r"(?=.*[0-9])[A-Za-z0-9_-]{8,}")
"""An id and no word."""
_PLAIN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
MODELS_SERVICE = "kling"
"""The service of the catalogue whose models a gateway takes."""
TASKS = "/tasks"
"""Where tasks of models that a path names are asked for and listed, whatever their endpoint."""


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
        endpoint = _endpoint_of(job, self._service)
        ours = {ID_FIELD: request_id} if endpoint.sending.external_id else {}
        # A job's own callback URL wins: somebody waits there.
        theirs = {"callback_url": callback_url} if callback_url else {}
        body = _body_of(job, endpoint, {**theirs, **flattened(endpoint, job.params), **ours})
        # A job's own id may have letters that no header can hold.
        headers = {"X-Client-Request-Id": request_id} if _PLAIN_ID.fullmatch(request_id) else {}
        path = endpoint.path if endpoint.sending.model_in_path else f"{self._root(job)}/{endpoint.endpoint}"
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
        endpoints = possible_endpoints(job, self._service)
        in_body = [endpoint for endpoint in endpoints if not endpoint.sending.model_in_path]
        questions = [
            Request("GET", path)
            for endpoint in in_body
            for path in (
                f"{self._root(job)}/{endpoint.endpoint}/{quote(generation_id, safe='')}",
                # The gateway's documents show these tasks under other paths too; the one that answers is remembered.
                *(query.format(task_id=quote(generation_id, safe="")) for query in endpoint.sending.other_queries),
            )
        ]
        if len(in_body) < len(endpoints):
            questions.append(Request("GET", TASKS, (("task_ids", generation_id),)))
        return tuple(questions)

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


def _endpoint_of(job: VideoJob, service: str) -> Model:
    """Return the endpoint that takes a job, as its catalogue entry. Raises Rejected, by name, where none does."""
    endpoint = model_of(job, load_catalog(), service)
    if isinstance(endpoint, Model):
        return endpoint
    raise Rejected(str(endpoint or f"no endpoint is known for model {job.model[:100]!r}"))


def possible_endpoints(job: VideoJob | None, service: str) -> list[Model]:
    """Return the endpoint of a job, else those of its model, else all of the service, each once."""
    catalog = load_catalog()
    # Without parameters nobody knows which endpoint took the job: an id from elsewhere is asked for at each.
    if job is not None and job.params and (endpoint := _submission_endpoint(job, service)):
        return [endpoint]
    model = catalog.find(job.model) if job is not None and job.model else None
    is_known = model is not None and model.endpoints and service in model.services
    models = [model] if model is not None and is_known else [one for one in catalog if service in one.services]
    endpoints: dict[tuple[bool, str], Model] = {}
    for one in models:
        for name, endpoint in one.endpoints.items():
            endpoints.setdefault((endpoint.sending.model_in_path, name), endpoint)
    in_order = [(False, name) for name in endpoint_facts()["endpoints"]]
    last = sorted(key for key in endpoints if key not in in_order)
    return [endpoints[key] for key in (*in_order, *last) if key in endpoints]


def _submission_endpoint(job: VideoJob, service: str) -> Model | None:
    """Return where a job was submitted, also one that no endpoint would take today: an earlier release sent it."""
    catalog = load_catalog()
    chosen = model_of(job, catalog, service)
    if not isinstance(chosen, Model) and (form := catalog.find_unlisted(job.model, service)):
        chosen = choose_endpoint(form, job.params)
    return chosen if isinstance(chosen, Model) else None


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


class Tasks:
    """How a service's tasks are found and listed, below a root and at `TASKS`, and the calls that prepare one."""

    def __init__(self, root: str, service: str) -> None:
        self._root, self._service = root, service
        self.lookup = LookupById(self._find, _read_found, 200 / 60, self._takes_ids)
        self.list = TaskList(self._page, _read_page, self._place_of, self._places)
        self.helper = Helper(partial(_helper_request, root=root), _read_helper)

    def _endpoint(self, job: VideoJob) -> Model:
        return _submission_endpoint(job, self._service) or _endpoint_of(job, self._service)

    def _find(self, request_id: str, job: VideoJob) -> Request:
        """Return the question about a task by the `external_task_id` that we chose: Kling itself answers it."""
        endpoint = self._endpoint(job)
        if endpoint.sending.model_in_path:
            return Request("GET", TASKS, (("external_task_ids", request_id),))
        return Request("GET", f"{self._root}/{endpoint.endpoint}/{quote(request_id, safe='')}")

    def _takes_ids(self, job: VideoJob) -> bool:
        """Tell whether the endpoint of a job takes an id that we choose, and finds its task by it."""
        endpoint = _submission_endpoint(job, self._service)
        if endpoint is None or not endpoint.sending.external_id:
            return False
        # Several ids are asked for with commas between them: one that has a comma is found by nobody.
        return not endpoint.sending.model_in_path or "," not in str(job.params.get(ID_FIELD, ""))

    def _page(self, place: str, cursor: str | None) -> Request:
        """Return the question for a page of the tasks at a place, newest first."""
        if place == TASKS:
            kind = {"key": "product_type", "values": ["video"]}
            return Request("POST", TASKS, body={"cursor": cursor or "", "limit": LIST_ROWS, "filters": [kind]})
        return Request("GET", f"{self._root}/{place}", (("pageNum", cursor or "1"), ("pageSize", str(LIST_ROWS))))

    def _place_of(self, job: VideoJob) -> str:
        """Return where a job's task is listed."""
        endpoint = self._endpoint(job)
        return TASKS if endpoint.sending.model_in_path else endpoint.endpoint

    def _places(self) -> dict[str, bool]:
        """Return all places, each with whether its tasks have an id that we choose."""
        places: dict[str, bool] = {}
        for endpoint in possible_endpoints(None, self._service):
            places[TASKS if endpoint.sending.model_in_path else endpoint.endpoint] = endpoint.sending.external_id
        return places


def _read_found(answer: Answer, request_id: str) -> Generation | None:
    """Return the task found by our id: None where there is none, or where the answer is about something else."""
    task = Task.read(answer)
    return task.as_generation(task.id) if task.id and task.external_id == request_id else None


def _read_page(cursor: str | None, answer: Answer) -> tuple[list[Generation], str | None]:
    """Return the tasks of a page, each with the id that was chosen for it, and the cursor of the next page."""
    tasks, following = Task.read_page(answer)
    if following is None and tasks:
        following = str(int(cursor or "1") + 1)
    return [task.as_generation(task.id) for task in tasks if task.id], following or None


_TASKS = Tasks(ROOT, MODELS_SERVICE)
LOOKUP, HELPER = _TASKS.lookup, _TASKS.helper
