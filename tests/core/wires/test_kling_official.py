"""The official Kling API: its place, its signature, its packs of units."""

from __future__ import annotations

import itertools
from typing import Any

import jwt
import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.money.account import ResourcePack
from aimlvideo.core.services import service_of
from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.base import LookupById
from aimlvideo.core.wires.http import Request
from aimlvideo.errors import Busy, Refused, Rejected, ServiceError, SettingsError, Unclear
from aimlvideo.settings import _resolve_base_url, resolve_key
from tests.cases import for_each
from tests.core.wires.answers import answer

SERVICE = service_of("kling-official")
SECRET = "secret-0123456789-0123456789-0123456789"
JOB = VideoJob("kling-v2-6", prompt="p")


def test_its_tasks_are_below_its_own_root() -> None:
    wire = SERVICE.wire(legacy=False, path_of=lambda model: None)
    assert wire.submission(JOB, "av-1").path == "/v1/videos/text2video"
    assert wire.status("t", JOB)[0].path == "/v1/videos/text2video/t"
    assert isinstance(SERVICE.lookup, LookupById)
    assert SERVICE.lookup.request("av-1", JOB).path == "/v1/videos/text2video/av-1"
    assert _resolve_base_url(None, "kling-official", {}) == "https://api-singapore.klingai.com"
    assert _resolve_base_url(None, "kling-official", {"AIMLAPI_BASE_URL": "https://other"}).endswith("klingai.com")


def test_its_key_is_a_pair_of_the_environment_or_of_the_flag() -> None:
    pair = {"KLING_ACCESS_KEY": "access", "KLING_SECRET_KEY": SECRET}
    assert resolve_key(None, "kling-official", pair) == f"access:{SECRET}"
    assert resolve_key("a:b", "kling-official", pair) == "a:b"
    assert resolve_key("a|b", "kling-official", pair) == "a:b", "as the settings of gateways have it"
    assert resolve_key("a:b|c", "kling-official", pair) == "a:b|c"
    for half in ("access:", f":{SECRET}"):
        with pytest.raises(SettingsError, match="KLING_ACCESS_KEY:KLING_SECRET_KEY"):
            resolve_key(half, "kling-official", {})
    for environment in ({"AIMLAPI_API_KEY": "sk"}, {"KLING_ACCESS_KEY": "access"}):
        with pytest.raises(SettingsError, match="KLING_ACCESS_KEY and KLING_SECRET_KEY or KLING_API_KEY"):
            resolve_key(None, "kling-official", environment)


def test_a_key_in_one_part_is_shown_as_it_is() -> None:
    key = resolve_key(None, "kling-official", {"KLING_API_KEY": SECRET, "KLING_ACCESS_KEY": "access"})
    assert SERVICE.authorize(Request("GET", "/x"), key, 1_764_000_000.0) == {"Authorization": f"Bearer {SECRET}"}
    assert SERVICE.secrets(key) == (SECRET,)
    assert resolve_key(None, "kling-official", {"KLINGAI_API_KEY": SECRET}) == SECRET


def test_a_request_is_signed_as_the_documents_say_and_shows_no_secret() -> None:
    header = SERVICE.authorize(Request("GET", "/x"), f"access:{SECRET}", 1_764_000_000.7)["Authorization"]
    scheme, token = header.split(" ")
    assert scheme == "Bearer"
    assert SECRET not in header
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_nbf": False})
    assert claims == {"iss": "access", "exp": 1_764_001_800, "nbf": 1_763_999_995}


def test_its_balance_is_packs_of_units() -> None:
    assert SERVICE.packs is not None
    question = SERVICE.packs.request(1_764_000_000.0)
    assert question.path == "/account/costs"
    asked = {name: int(value) for name, value in question.query}
    # Packs are told by when they were bought, and are good for as long as a year.
    assert asked["start_time"] <= 1_764_000_000_000 - 366 * 86_400_000
    assert asked["end_time"] == 1_764_000_000_000
    row = {
        "resource_pack_name": "Video 100",
        "resource_pack_id": "p-1",
        "total_quantity": 100.0,
        "remaining_quantity": 41.5,
        "invalid_time": 1767225600000,
        "status": "online",
    }
    body = {"code": 0, "message": "SUCCEED", "data": {"code": 0, "resource_pack_subscribe_infos": [row, {}]}}
    assert SERVICE.packs.read(answer(body)) == (
        ResourcePack("Video 100", "online", 41.5, 100.0, 1767225600.0),
        ResourcePack("unnamed", "", None, None, None),
    )
    with pytest.raises(Unclear):
        SERVICE.packs.read(answer({"code": 0, "data": {}}))
    with pytest.raises(Refused):
        SERVICE.packs.read(answer({"code": 1002, "message": "no"}, 401))


NEWER = VideoJob("kling-3.0", prompt="p")


def test_tasks_of_models_that_a_path_names_are_asked_about_in_one_request_and_read_one_by_one() -> None:
    wire = SERVICE.wire(legacy=False, path_of=lambda model: None)
    shared = wire.shared_checks
    assert shared is not None
    assert shared.request(["a", "b"]) == Request("GET", "/tasks", (("task_ids", "a,b"),))
    assert shared.takes("a", NEWER)
    assert not shared.takes("a,b", NEWER), "it would be two ids"
    assert not shared.takes("a", JOB), "an older model's task has a place of its own"
    done = {"id": "a", "status": "succeeded", "outputs": [{"type": "video", "url": "https://x.example/a.mp4"}]}
    begun = {"id": "a", "status": "processing"}
    rows = [{"id": 7, "status": "processing"}, begun, done, None, begun]
    parts = shared.read(answer({"code": 0, "data": rows}), ["7", "a", "c"])
    assert wire.parse_status(parts["a"], "a").video_url == "https://x.example/a.mp4"
    assert wire.parse_status(parts["7"], "7").status == "processing"
    with pytest.raises(Rejected, match="lists no task of this id") as lacking:
        wire.parse_status(parts["c"], "c")
    assert lacking.value.status == 404


def test_of_a_task_that_is_listed_twice_a_clip_counts_before_a_failure_and_an_end_before_anything_else() -> None:
    wire = SERVICE.wire(legacy=False, path_of=lambda model: None)
    shared = wire.shared_checks
    assert shared is not None
    done = {"id": "a", "status": "succeeded", "outputs": [{"type": "video", "url": "https://x.example/a.mp4"}]}
    for rows in itertools.permutations(({"id": "a", "status": "failed"}, {"id": "a", "status": "submitted"}, done)):
        for listed, state in ((rows, State.COMPLETED), ([row for row in rows if row is not done], State.FAILED)):
            (part,) = shared.read(answer({"code": 0, "data": [*listed]}), ["a"]).values()
            assert wire.parse_status(part, "a").state is state


@for_each(
    ("body", "status", "error"),
    [
        ({"code": 1303, "message": "parallel task over resource pack limit"}, 429, Busy),
        ({"code": 1002, "message": "no"}, 401, Refused),
        ({"code": 1201, "message": "task_ids cannot exceed 20 in total"}, 400, Rejected),
        ({"code": 0, "data": {"id": "a", "status": "processing"}}, 200, Unclear),
        ({"code": 0}, 200, Unclear),
    ],
)
def test_an_answer_about_none_of_the_tasks_is_what_it_amounts_to(
    body: Any, status: int, error: type[ServiceError]
) -> None:
    shared = SERVICE.wire(legacy=False, path_of=lambda model: None).shared_checks
    assert shared is not None
    with pytest.raises(error):
        shared.read(answer(body, status), ["a", "b"])
