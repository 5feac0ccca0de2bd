"""Answers to a submission whose HTTP status says no, while the answer shows what was bought."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.core.wires.aimlapi import AimlApi
from aimlvideo.core.wires.base import Wire
from aimlvideo.core.wires.kling import Kling
from aimlvideo.errors import Refused, Rejected, ServiceError, Unavailable, Unclear
from tests.cases import for_each
from tests.core.wires.answers import answer

AIMLAPI, KLING = AimlApi(), Kling()
WIRES: dict[str, Wire] = {"aimlapi": AIMLAPI, "kling": KLING}
both = for_each("wire", WIRES.values(), ids=WIRES)
OURS = Intent("0123abcd", 1.8e9).request_id(VideoJob("m"), "1")
UNDER_WAY: dict[str, tuple[Wire, Any]] = {
    "a generation": (AIMLAPI, {"id": "g-1", "status": "queued"}),
    "a generation under data": (AIMLAPI, {"data": {"generation_id": "g-1", "status": "generating"}}),
    "a task": (KLING, {"code": 0, "message": "SUCCEED", "data": {"task_id": "g-1", "task_status": "submitted"}}),
    "an OpenAI video": (KLING, {"id": "g-1", "task_id": "g-1", "object": "video", "status": "queued"}),
}


@for_each(("wire", "body"), UNDER_WAY.values(), ids=UNDER_WAY)
@pytest.mark.parametrize("status", [303, 400, 408, 409, 425, 429, 500, 502, 503, 504, 524])
def test_a_generation_that_is_shown_under_way_was_bought_whatever_the_status_says(
    wire: Wire, body: Any, status: int
) -> None:
    assert wire.parse_submission(answer(body, status), OURS).id == "g-1"


@both
@for_each(
    ("body", "kind"),
    [
        ({"id": "req-7", "message": "Body validation error"}, Rejected),
        ({"id": "req-7", "status": "error", "error": {"message": "no such voice"}}, Rejected),
        ({"id": "req-7", "status": "queued", "error": {"message": "no such voice"}}, Rejected),
        ({"id": "req-7", "status": 400, "detail": "no such voice"}, Rejected),
    ],
    ids=str,
)
def test_an_id_in_an_error_is_no_generation(wire: Wire, body: Any, kind: type[ServiceError]) -> None:
    with pytest.raises(kind):
        wire.parse_submission(answer(body, 400), OURS)


LOCATIONS: dict[str, tuple[Wire, str]] = {
    "in the query": (AIMLAPI, "/v2/video/generations?generation_id=g%2F1"),
    "in the path": (AIMLAPI, "https://api.example.com/v2/video/generations/g%2F1"),
    "of a legacy URL": (AIMLAPI, "/v2/generate/video/kling/generation?generation_id=g%2F1&a=b"),
    "relative": (AIMLAPI, "generations/g%2F1"),
    "of a task": (KLING, "/kling/v1/videos/text2video/g%2F1"),
    "of a task two levels down": (KLING, "https://gw.example.com/kling/v1/videos/avatar/image2video/g%2F1/"),
    "of a gateway's own page": (KLING, "/v1/video/generations/g%2F1"),
    "in a task's query": (KLING, "/tasks?task_id=g%2F1"),
}


@for_each(("wire", "location"), LOCATIONS.values(), ids=LOCATIONS)
@for_each(
    ("status", "body"), [(201, b""), (202, b""), (202, {}), (202, {"message": "Accepted"}), (303, b""), (302, b"")]
)
def test_a_generation_that_only_the_location_names_was_bought(
    wire: Wire, location: str, status: int, body: Any
) -> None:
    assert wire.parse_submission(answer(body, status, location=location), OURS).id == "g/1"


@both
@for_each(
    ("status", "location", "kind"),
    [
        (302, "https://elsewhere.example.com/v2/video/generations", Refused),
        (302, "/kling/v1/videos/avatar/image2video", Refused),
        (307, "/v2/video/generations/", Refused),
        (308, "/v2/video/generations?generation_id=g-1", Refused),
        (303, "/login", Unclear),
        (202, "/v2/video/generations/", Unclear),
        (202, "http://[", Unclear),
        (400, "/v2/video/generations/g-1", Rejected),
        (503, "/v2/video/generations/g-1", Unavailable),
    ],
)
def test_a_location_that_names_no_generation_is_where_to_go(
    wire: Wire, status: int, location: str, kind: type[ServiceError]
) -> None:
    with pytest.raises(kind):
        wire.parse_submission(answer(b"", status, location=location), OURS)


TAKEN = {
    "a conflict": ({"message": "a request with this X-Client-Request-Id already exists"}, 409),
    "a wrong parameter": ({"code": 1201, "message": "external_task_id is duplicated"}, 400),
    "the same under 200": ({"code": 1201, "message": "The external task id has already been used"}, 200),
    "an idempotency key": ({"message": "Duplicate idempotency key"}, 422),
    "the other way round": ({"error": {"message": "duplicate request id"}}, 400),
}


@both
@for_each(("body", "status"), TAKEN.values(), ids=TAKEN)
def test_an_id_of_our_own_making_that_is_refused_as_taken_was_taken_by_this_very_submission(
    wire: Wire, body: Any, status: int
) -> None:
    with pytest.raises(Unclear, match=r"(?i)id|key"):
        wire.parse_submission(answer(body, status), OURS)
    # An id that a person chose may have been taken by anybody: the service refuses this job.
    with pytest.raises(Rejected, match="give it another"):
        wire.parse_submission(answer(body, status), "spring-campaign-7")


@both
@for_each(
    ("status", "kind", "words"),
    [
        (405, Refused, "base URL"),
        (407, Refused, "proxy"),
        (425, Unavailable, "425"),
        (511, Unavailable, "511"),
        (444, Unclear, "444"),
        (460, Unclear, "460"),
        (499, Unclear, "499"),
        (300, Unclear, "300"),
        (304, Unclear, "304"),
    ],
)
@for_each("body", [b"", b"<html>no</html>", {"message": "no"}], ids=str)
def test_a_status_of_what_lies_between_is_no_fault_of_the_job(
    wire: Wire, status: int, kind: type[ServiceError], words: str, body: Any
) -> None:
    with pytest.raises(kind, match=words) as caught:
        wire.parse_submission(answer(body, status), OURS)
    assert type(caught.value) is kind
