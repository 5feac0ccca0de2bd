"""Where tasks of Kling's kind are submitted, asked about, looked up and listed: a form of endpoints for each way.

Source: the Kling API reference, March and September 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.endpoints import choose_endpoint, endpoint_facts
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.validation import model_of
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.base import Generation, LookupById, TaskList
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.kling_answers import Task
from aimlvideo.errors import Rejected

ID_FIELD = "external_task_id"
"""The parameter in which a job may name the id that is sent."""
TASKS = "/tasks"
"""Where tasks of models that a path names are asked for and listed, whatever their endpoint."""
LIST_ROWS = 500
"""Tasks on a page of the service's list: the most that it takes, since it gives a thousand pages."""


class _Form(Protocol):
    """One way in which endpoints are addressed."""

    def submission(self, endpoint: Model) -> str:
        """Return the path of a submission."""

    def questions(self, endpoint: Model, task_id: str) -> tuple[Request, ...]:
        """Return where a task may be asked about, the likeliest place first."""

    def lookup(self, endpoint: Model, request_id: str) -> Request:
        """Return the question about a task by the `external_task_id` that we chose."""

    def place(self, endpoint: Model) -> str:
        """Return where an endpoint's tasks are listed."""

    def page(self, place: str, cursor: str | None) -> Request:
        """Return the question for a page of the tasks at a place, newest first."""


@dataclass(frozen=True, slots=True)
class _InBody:
    """The body names the model: each endpoint has its own tasks, below a root, and pages of them that are counted."""

    root: str

    def submission(self, endpoint: Model) -> str:
        return f"{self.root}/{endpoint.endpoint}"

    def questions(self, endpoint: Model, task_id: str) -> tuple[Request, ...]:
        name = quote(task_id, safe="")
        # The gateway's documents show these tasks under other paths too; the one that answers is remembered.
        others = (query.format(task_id=name) for query in endpoint.sending.other_queries)
        return tuple(Request("GET", path) for path in (f"{self.root}/{endpoint.endpoint}/{name}", *others))

    def lookup(self, endpoint: Model, request_id: str) -> Request:
        return Request("GET", f"{self.root}/{endpoint.endpoint}/{quote(request_id, safe='')}")

    def place(self, endpoint: Model) -> str:
        return endpoint.endpoint

    def page(self, place: str, cursor: str | None) -> Request:
        return Request("GET", f"{self.root}/{place}", (("pageNum", cursor or "1"), ("pageSize", str(LIST_ROWS))))


class _InPath:
    """The path names the model: all tasks are at `TASKS`, in pages by a cursor."""

    def submission(self, endpoint: Model) -> str:
        return endpoint.path

    def questions(self, endpoint: Model, task_id: str) -> tuple[Request, ...]:
        return (Request("GET", TASKS, (("task_ids", task_id),)),)

    def lookup(self, endpoint: Model, request_id: str) -> Request:
        return Request("GET", TASKS, (("external_task_ids", request_id),))

    def place(self, endpoint: Model) -> str:
        return TASKS

    def page(self, place: str, cursor: str | None) -> Request:
        videos = {"key": "product_type", "values": ["video"]}
        return Request("POST", TASKS, body={"cursor": cursor or "", "limit": LIST_ROWS, "filters": [videos]})


def form_of(endpoint: Model, root: str) -> _Form:
    """Return how an endpoint is addressed; `root` is where those are whose model the body names."""
    return _InPath() if endpoint.sending.model_in_path else _InBody(root)


def endpoint_of(job: VideoJob, service: str) -> Model:
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
    models = [one for one in catalog if service in one.services]
    if model is not None and model.endpoints and service in model.services:
        models = [model]
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


class Tasks:
    """How a service's tasks are found by our ids, and listed."""

    def __init__(self, root: str, service: str) -> None:
        self._root, self._service = root, service
        self.lookup = LookupById(self._find, _read_found, 200 / 60, self._takes_ids)
        self.list = TaskList(self._page, _read_page, self._place_of, self._places)

    def _endpoint(self, job: VideoJob) -> Model:
        return _submission_endpoint(job, self._service) or endpoint_of(job, self._service)

    def _find(self, request_id: str, job: VideoJob) -> Request:
        endpoint = self._endpoint(job)
        return form_of(endpoint, self._root).lookup(endpoint, request_id)

    def _takes_ids(self, job: VideoJob) -> bool:
        """Tell whether the endpoint of a job takes an id that we choose, and finds its task by it.

        Lip-syncs take one and were never seen to show it: that there is none of it says nothing.
        """
        endpoint = _submission_endpoint(job, self._service)
        if endpoint is None or not endpoint.sending.shows_id:
            return False
        # Several ids are asked for with commas between them: one that has a comma is found by nobody.
        return not endpoint.sending.model_in_path or "," not in str(job.params.get(ID_FIELD, ""))

    def _page(self, place: str, cursor: str | None) -> Request:
        form = _InPath() if place == TASKS else _InBody(self._root)
        return form.page(place, cursor)

    def _place_of(self, job: VideoJob) -> str:
        endpoint = self._endpoint(job)
        return form_of(endpoint, self._root).place(endpoint)

    def _places(self) -> dict[str, bool]:
        """Return all places, each with whether its tasks have an id that we choose."""
        endpoints = possible_endpoints(None, self._service)
        return {form_of(one, self._root).place(one): one.sending.shows_id for one in endpoints}


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
