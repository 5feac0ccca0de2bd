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
from aimlvideo.core.wires.base import Callback, Generation, Helper, LookupById, PathOf, TaskList
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
"""The service of the catalogue whose models these are."""


class Kling:
    """The wire of a Kling-style gateway. A model's tasks are below the path that `path_of` names, else below `root`."""

    def __init__(self, *, legacy: bool = False, path_of: PathOf = lambda model: None, root: str = ROOT) -> None:
        self._path_of, self._below = path_of, root
        self._places: OrderedDict[str, Request] = OrderedDict()

    def submission(self, job: VideoJob, request_id: str, callback_url: str | None = None) -> Request:
        """Return the POST that buys this job; its `external_task_id` is the id that we chose.

        Raises Rejected where no endpoint takes such a job.
        """
        endpoint = _endpoint_of(job)
        body = _body_of(job, endpoint)
        if endpoint.sending.external_id:
            body[ID_FIELD] = request_id
        if callback_url:
            # A job's own callback URL wins: somebody waits there.
            body.setdefault("callback_url", callback_url)
        # A job's own id may have letters that no header can hold.
        headers = {"X-Client-Request-Id": request_id} if _PLAIN_ID.fullmatch(request_id) else {}
        return Request("POST", f"{self._root(job)}/{endpoint.endpoint}", body=body, headers=headers)

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
        return tuple(
            Request("GET", path)
            for endpoint in _possible_endpoints(job)
            for path in (
                f"{self._root(job)}/{endpoint.endpoint}/{quote(generation_id, safe='')}",
                # The gateway's documents show these tasks under other paths too; the one that answers is remembered.
                *(query.format(task_id=quote(generation_id, safe="")) for query in endpoint.sending.other_queries),
            )
        )

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


def _external_task_request(request_id: str, job: VideoJob, root: str) -> Request:
    """Return the question about a task by the `external_task_id` that we chose: Kling itself answers it."""
    endpoint = _submission_endpoint(job) or _endpoint_of(job)
    return Request("GET", f"{root}/{endpoint.endpoint}/{quote(request_id, safe='')}")


def _takes_external_id(job: VideoJob) -> bool:
    """Tell whether the endpoint of a job takes an id that we choose."""
    endpoint = _submission_endpoint(job)
    return endpoint is not None and endpoint.sending.external_id


def _read_external_task(answer: Answer, request_id: str) -> Generation | None:
    """Return the task found by our id: None where there is none, or where the answer is about something else."""
    task = Task.read(answer)
    return task.as_generation(task.id) if task.id and task.external_id == request_id else None


def _list_request(page: int, place: str, root: str) -> Request:
    """Return the question for a page of the tasks at an endpoint, newest first; the first page is 1."""
    return Request("GET", f"{root}/{place}", (("pageNum", str(page)), ("pageSize", str(LIST_ROWS))))


def _place_of(job: VideoJob) -> str:
    """Return the endpoint at which a job's task is listed."""
    return (_submission_endpoint(job) or _endpoint_of(job)).endpoint


def _places() -> dict[str, bool]:
    """Return all endpoints, each with whether it takes an id that we choose."""
    return {name: raw.get("external_id", True) for name, raw in endpoint_facts()["endpoints"].items()}


def _read_list(answer: Answer) -> list[Generation]:
    """Return the tasks of a page, each with the id that was chosen for it."""
    return [task.as_generation(task.id) for task in Task.read_page(answer) if task.id]


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


def _endpoint_of(job: VideoJob) -> Model:
    """Return the endpoint that takes a job, as its catalogue entry. Raises Rejected, by name, where none does."""
    endpoint = model_of(job, load_catalog(), MODELS_SERVICE)
    if isinstance(endpoint, Model):
        return endpoint
    raise Rejected(str(endpoint or f"no endpoint is known for model {job.model[:100]!r}"))


def _possible_endpoints(job: VideoJob | None) -> list[Model]:
    """Return the endpoint of a job, else those of its model, else all that there are, each once."""
    catalog, in_order = load_catalog(), endpoint_facts()["endpoints"]
    # Without parameters nobody knows which endpoint took the job: an id from elsewhere is asked for at each.
    if job is not None and job.params and (endpoint := _submission_endpoint(job)):
        return [endpoint]
    model = catalog.find(job.model) if job is not None and job.model else None
    models = [model] if model is not None and model.endpoints else list(catalog)
    endpoints: dict[str, Model] = {}
    for one in models:
        for name, endpoint in one.endpoints.items():
            endpoints.setdefault(name, endpoint)
    return sorted(endpoints.values(), key=lambda endpoint: list(in_order).index(endpoint.endpoint))


def _submission_endpoint(job: VideoJob) -> Model | None:
    """Return where a job was submitted, also one that no endpoint would take today: an earlier release sent it."""
    catalog = load_catalog()
    chosen = model_of(job, catalog, MODELS_SERVICE)
    if not isinstance(chosen, Model) and (form := catalog.find_unlisted(job.model, MODELS_SERVICE)):
        chosen = choose_endpoint(form, job.params)
    return chosen if isinstance(chosen, Model) else None


def _body_of(job: VideoJob, endpoint: Model) -> dict[str, Any]:
    """Return a submission's body: the service's own names, durations as texts, entries as objects."""
    sending, body = endpoint.sending, {}
    for name, value in flattened(endpoint, job.params).items():
        if name != NAMED:
            entries = value if name not in sending.entries else _as_objects(value, sending.entries[name])
            body[sending.sent_as.get(name, name)] = _with_texts(name, entries)
    for group, names in sending.inside.items():
        inner = {theirs: body.pop(theirs) for name in names if (theirs := sending.sent_as.get(name, name)) in body}
        body[group] = inner
    model = job.model if sending.sends_model else sending.default_model
    if not model:
        return body
    # With `model` alone, Kling makes and bills a kling-v1 clip.
    return {"model_name": model, "model": model, **body}


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


class TasksBelow:
    """How tasks are found and listed below a root, and the calls there that prepare one."""

    def __init__(self, root: str) -> None:
        find = partial(_external_task_request, root=root)
        self.lookup = LookupById(find, _read_external_task, 200 / 60, _takes_external_id)
        self.tasks = TaskList(partial(_list_request, root=root), _read_list, _place_of, _places)
        self.helper = Helper(partial(_helper_request, root=root), _read_helper)


_TASKS = TasksBelow(ROOT)
LOOKUP, HELPER = _TASKS.lookup, _TASKS.helper
