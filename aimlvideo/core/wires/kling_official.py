"""The official Kling API: the wire of its gateways at another root, and signed requests.

Source: the Kling API reference, March and September 2026.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from aimlvideo.core.catalog.endpoints import endpoint_facts
from aimlvideo.core.formatting import SecretText
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.answers import Body, State
from aimlvideo.core.wires.base import Generation, PathOf, SharedChecks
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.json_fields import as_id, as_text
from aimlvideo.core.wires.kling import Kling, helper_below
from aimlvideo.core.wires.kling_answers import Task
from aimlvideo.core.wires.kling_tasks import TASKS, Tasks, possible_endpoints
from aimlvideo.errors import Refused, Rejected, Unclear

NAME = "kling-official"
"""The service of the catalogue whose models it takes."""

ROOT = "/v1/videos"

WANTS_ONE_PART = (
    "the key is an access key with a secret key, which Kling takes for its older models only, such as kling-v3: "
    "expected an API key in one part, from Kling's console (give it as --api-key, or set KLING_API_KEY alone)"
)

TOKEN_SECONDS = 1800
"""How long a token is good for; each request has its own."""

MOST_TASKS = 20
"""Tasks that one question asks for at most. Kling refuses 21 with code 1201, as a client of others found in September
2026; its pages name no number."""

EARLIER = 5
"""Seconds by which a token is good before it was made: clocks differ."""
_FINALITY = {State.FAILED: 1, State.COMPLETED: 2}


class KlingItself(Kling):
    """The wire of Kling itself: below its own root, and where tasks are asked for together."""

    def __init__(self, *, legacy: bool = False, path_of: PathOf = lambda model: None) -> None:
        super().__init__(legacy=legacy, path_of=path_of, root=ROOT, service=NAME)
        self.shared_checks = SharedChecks(MOST_TASKS, _is_asked_at_tasks, _check_together, self._parts)

    def parse_status(self, answer: Answer, generation_id: str) -> Generation:
        """Return the generation as a status check's answer describes it; Rejected, as a 404, for an empty list."""
        try:
            return super().parse_status(answer, generation_id)
        except Unclear:
            # Only now: nearly every answer has its task, and is read once.
            if _rows(answer) == []:
                raise Rejected("Kling lists no task of this id", status=404) from None
            raise

    def _parts(self, answer: Answer, generation_ids: Sequence[str]) -> dict[str, Answer]:
        """Return what an answer says of each task, as if it alone had been asked for: a missing one has no row."""
        if (rows := _rows(answer)) is None:
            # Not as an answer about one task: a code of moderation is about one of these, and never a limit's.
            Task.read(answer)
            raise Unclear(f"expected a list of {len(generation_ids)} tasks, found one task", status=answer.status)
        by_id: dict[str | None, Any] = {}
        for row in rows:
            # Of a task that is listed twice an end counts, which does not become undone, before all that of a clip.
            if isinstance(row, dict) and _finality(row) >= _finality(by_id.get(name := as_id(row.get("id")), {})):
                by_id[name] = row
        return {
            name: replace(answer, body=json.dumps({"code": 0, "data": [by_id[name]] if name in by_id else []}).encode())
            for name in generation_ids
        }


def _finality(row: Mapping[str, Any]) -> int:
    state = State.named(as_text(row.get("status")) or "")
    return _FINALITY.get(state, 0) if state else 0


def _is_asked_at_tasks(generation_id: str, job: VideoJob) -> bool:
    """Tell whether a task can be asked for beside others: its id is one among several, with commas between them."""
    return "," not in generation_id and all(
        endpoint.sending.model_in_path for endpoint in possible_endpoints(job, NAME)
    )


def _check_together(generation_ids: Sequence[str]) -> Request:
    return Request("GET", TASKS, (("task_ids", ",".join(generation_ids)),))


def signed_headers(request: Request, key: str, now: float) -> Mapping[str, str]:
    """Return the headers that show who asks: a token signed with the secret key, good for half an hour.

    A key in one part, as Kling issues them since July 2026, is shown as it is; only such a one opens the models that a
    path names. Raises Refused where it is needed, and Rejected where their tasks are listed: a pair bought none.
    """
    # At the first colon only: a secret may have one itself.
    access, _, secret = key.partition(":")
    if not secret:
        return {"Authorization": SecretText(f"Bearer {key}")}
    if f"{request.path}/".startswith(_new_paths()):
        is_list = request.method == "POST" and request.path == TASKS
        raise (Rejected if is_list else Refused)(WANTS_ONE_PART)
    import jwt  # noqa: PLC0415 - it takes 50 ms, and one kind of key of one service needs it

    claims = {"iss": access, "exp": int(now) + TOKEN_SECONDS, "nbf": int(now) - EARLIER}
    with warnings.catch_warnings(action="ignore"):  # how long a secret is the service decides
        token = jwt.encode(claims, secret, algorithm="HS256", headers={"typ": "JWT"})
    return {"Authorization": SecretText(f"Bearer {token}")}


def _new_paths() -> tuple[str, ...]:
    endpoints = endpoint_facts(model_in_path=True)["endpoints"]
    return (f"{TASKS}/", *(f"/{name}/" for name in endpoints))


def _rows(answer: Answer) -> list[Any] | None:
    """Return the tasks in an answer that is a list of them; None where it is another one, or an error."""
    body = Body.of(answer)
    rows = body.get("data") if body is not None and answer.status < 300 and body.error() is None else None
    return rows if isinstance(rows, list) else None


def _read_listed(answer: Answer, request_id: str) -> Generation | None:
    """Return the task found by our id, alone or in a list; None where there is none, or it is about something else."""
    if _rows(answer) is None:
        return _TASKS.lookup.read(answer, request_id)
    tasks = Task.read_page(answer)[0]
    return next((task.as_generation(task.id) for task in tasks if task.id and task.external_id == request_id), None)


_TASKS = Tasks(ROOT, NAME)
LOOKUP, HELPER = replace(_TASKS.lookup, read=_read_listed, tasks=_TASKS.list), helper_below(ROOT)
