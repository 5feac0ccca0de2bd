"""The sandbox's Kling side by itself: every endpoint and shape, the trap of `model`, signatures, words of gateways."""

from __future__ import annotations

import time
from typing import Any

import jwt

from tests.cases import for_each
from tests.sandbox.http_client import KLING, PICTURE, TASK, Visitor, visiting

CLIP, SOUND = "https://example.com/x.mp4", "https://example.com/x.mp3"
FACE = {"face_id": "0", "sound_file": SOUND}

BODIES: dict[str, dict[str, Any]] = {
    "text2video": {"model_name": "kling-v3", "prompt": "p", "duration": "15", "sound": "on"},
    "image2video": {"model_name": "kling-v2-6", "image": PICTURE},
    "multi-image2video": {"model_name": "kling-v1-6", "prompt": "p", "image_list": [{"image": PICTURE}]},
    "omni-video": {"model_name": "kling-video-o1", "prompt": "p", "video_list": [{"video_url": CLIP}]},
    "motion-control": {
        "model_name": "kling-v2-6",
        "image_url": PICTURE,
        "video_url": CLIP,
        "character_orientation": "image",
        "mode": "std",
    },
    "video-extend": {"video_id": "clip-1"},
    "avatar/image2video": {"image": PICTURE, "sound_file": SOUND},
    "lip-sync": {"input": {"video_id": "c", "mode": "text2video", "text": "hello", "voice_id": "v"}},
    "advanced-lip-sync": {"session_id": "s", "face_choose": [FACE]},
    "effects": {"effect_scene": "squish", "input": {"image": PICTURE, "duration": "5"}},
    "multi-elements": {"model_name": "kling-v1-6", "session_id": "s", "edit_mode": "removal", "prompt": "p"},
}


@for_each("kind", BODIES)
async def test_every_endpoint_takes_its_task_and_shows_it_where_it_was_submitted(kind: str) -> None:
    async with visiting() as visitor:
        accepted = await visitor.post(KLING + kind, BODIES[kind])
        assert accepted.json["code"] == 0, accepted.json
        ended = await visitor.task_end(accepted.json["data"]["task_id"], kind)
        assert ended.json["data"]["task_status"] == "succeed"
        assert (await visitor.post(KLING + kind, {})).json["code"] == 1201


@for_each(
    ("shape", "where"),
    [("native", "data"), ("openai", None), ("flat", None), ("bare", None)],
)
async def test_a_submission_is_answered_in_each_published_shape(shape: Any, where: str | None) -> None:
    async with visiting(kling_answer=shape) as visitor:
        told = (await visitor.post(KLING + "text2video", TASK)).json
        assert (told[where] if where else told)["task_id"]


@for_each("shape", ["wrapped-url", "bare", "openai", "qiniu", "mixed"])
async def test_a_query_is_answered_in_each_published_shape(shape: Any) -> None:
    async with visiting(kling_shape=shape) as visitor:
        accepted = (await visitor.post(KLING + "text2video", TASK)).json["data"]["task_id"]
        told: Any = {}
        while "http" not in str(told):
            time.sleep(0.01)  # noqa: ASYNC251 - the sandbox goes by the real clock
            told = (await visitor.get(f"{KLING}text2video/{accepted}")).json


async def test_a_model_alone_is_billed_as_the_first_one() -> None:
    async with visiting() as visitor:
        await visitor.post(KLING + "text2video", {"model": "kling-v2-6", "prompt": "p"})
        await visitor.post(KLING + "text2video", {"model_name": "kling-v2-6", "prompt": "p"})
        assert visitor.sandbox.stats()["models"] == {"kling-v1": 1, "kling-v2-6": 1}


async def test_errors_are_said_in_the_words_of_new_api_where_asked() -> None:
    async with visiting(kling_errors="new-api", kling_external_query=False) as visitor:
        unknown = await visitor.get(KLING + "text2video/nobody")
        assert (unknown.status, unknown.json["code"], unknown.json["data"]) == (400, "task_not_exist", None)
        assert (await visitor.post(KLING + "text2video", {})).json["code"] == "invalid_request"
    async with visiting(kling_errors="new-api", max_concurrent=0) as visitor:
        busy = await visitor.post(KLING + "text2video", TASK)
        assert busy.json["code"] == "fail_to_fetch_task"
        assert '"code": 1303' in busy.json["message"]


async def test_a_motion_is_asked_about_elsewhere_where_the_gateway_wants_it_so() -> None:
    async with visiting(kling_motion_query=False, kling_http_200=0.0) as visitor:
        accepted = await visitor.post(KLING + "motion-control", BODIES["motion-control"])
        name = accepted.json["data"]["task_id"]
        assert (await visitor.get(f"{KLING}motion-control/{name}")).status == 404
        assert (await visitor.get(f"/v1/video/generations/{name}")).status == 200


PAIR = "access:secret-0123456789-0123456789-0123456789"


def token(secret: str = PAIR.partition(":")[2], **claims: Any) -> str:
    now = int(time.time())
    whole = {"iss": "access", "exp": now + 1800, "nbf": now - 5} | claims
    return f"Bearer {jwt.encode(whole, secret, algorithm='HS256', headers={'typ': 'JWT'})}"


@for_each(
    ("authorization", "status"),
    [
        (token(), 400),
        (token("another-secret-0123456789-0123456789"), 401),
        (token(iss="somebody"), 401),
        (token(exp=int(time.time()) - 1), 401),
        (token(nbf=int(time.time()) + 3600), 401),
        ("Bearer sk-plain-key", 401),
        ("Bearer key-in-one-part", 400),
    ],
    ids=["good", "wrong secret", "wrong access key", "expired", "not yet", "a plain key", "a key of its own"],
)
async def test_the_official_root_wants_a_signed_token_or_a_key_in_one_part(authorization: str, status: int) -> None:
    async with visiting(kling_pairs=(PAIR,), api_keys=("key-in-one-part",), kling_http_200=0.0) as visitor:
        asked = await visitor.get("/v1/videos/text2video/nobody", headers={"Authorization": authorization})
        assert asked.status == status


async def test_tasks_of_models_that_a_path_names_are_asked_for_together_and_listed_newest_first() -> None:
    async with visiting() as visitor:
        names = []
        for number in range(3):
            body = {"prompt": "p", "options": {"external_task_id": f"mine-{number}"}}
            accepted = (await visitor.post("/text-to-video/kling-3.0-turbo", body)).json
            names.append(accepted["data"]["id"])
            assert (accepted["data"]["status"], accepted["data"]["external_id"]) == ("submitted", f"mine-{number}")
        both = (await visitor.get("/tasks", task_ids=f"{names[0]},{names[2]},nobody")).json["data"]
        assert [task["id"] for task in both] == [names[0], names[2]]
        mine = (await visitor.get("/tasks", external_task_ids="mine-1")).json["data"]
        assert [task["id"] for task in mine] == [names[1]]
        assert (await visitor.get("/tasks", task_ids="a", external_task_ids="b")).json["code"] == 1201
        page = (await visitor.post("/tasks", {"limit": 2})).json["data"]
        assert [task["id"] for task in page["result"]] == names[:0:-1]
        assert page["has_more"]
        rest = (await visitor.post("/tasks", {"cursor": page["next_cursor"]})).json["data"]
        assert ([task["id"] for task in rest["result"]], rest["has_more"]) == ([names[0]], False)
        again = await visitor.post("/text-to-video/kling-3.0", {"prompt": "p", "options": body["options"]})
        assert "mine-2 already exists" in again.json["message"]
        most = ",".join(names[:1] * 20)
        assert len((await visitor.get("/tasks", task_ids=most)).json["data"]) == 20
        assert "cannot exceed 20" in (await visitor.get("/tasks", task_ids=f"{most},{names[1]}")).json["message"]


@for_each(
    ("path", "body", "field"),
    [
        ("text-to-video/kling-3.0", {"prompt": "p", "model_name": "kling-3.0"}, "model_name"),
        ("text-to-video/kling-3.0", {"prompt": "p", "settings": {"duration": "5"}}, "settings.duration"),
        ("text-to-video/kling-3.0-turbo", {"prompt": "p", "settings": {"audio": "off"}}, "settings.audio"),
        ("image-to-video/kling-3.0", {"contents": [{"type": "prompt", "text": "p"}]}, "contents"),
        ("image-to-video/kling-3.0-turbo", {"contents": [{"type": "last_frame", "url": PICTURE}]}, "contents.0.type"),
        ("motion-control/kling-3.0", {"contents": []}, "settings.character_orientation"),
        ("text-to-video/kling-2.6", {"prompt": "p", "settings": ["1080p"]}, "settings"),
        ("omni-video/kling-o1", {"contents": [{"type": ["prompt"]}]}, "contents.0.type"),
    ],
)
async def test_a_wrong_body_for_a_model_that_a_path_names_is_refused_by_field(
    path: str, body: dict[str, Any], field: str
) -> None:
    async with visiting(kling_http_200=0.0) as visitor:
        refused = await visitor.post(f"/{path}", body)
        assert (refused.status, refused.json["code"]) == (400, 1201)
        assert f"{field}: expected" in refused.json["message"]
        assert visitor.sandbox.stats()["accepted"] == 0


@for_each(("path", "longest"), [("text-to-video/kling-3.0", 3072), ("text-to-video/kling-2.6", 2500)])
async def test_a_prompt_is_as_long_as_the_page_of_its_model_says(path: str, longest: int) -> None:
    async with visiting(kling_http_200=0.0) as visitor:
        assert (await visitor.post(f"/{path}", {"prompt": "p" * longest})).status == 200
        refused = await visitor.post(f"/{path}", {"prompt": "p" * (longest + 1)})
        assert f"prompt: expected a text of 1 to {longest} characters" in refused.json["message"]


@for_each("kind", ["lip-sync", "advanced-lip-sync", "text2video"])
async def test_a_lip_sync_does_not_show_the_id_that_the_caller_chose_and_is_not_found_by_it(kind: str) -> None:
    async with visiting(kling_http_200=0.0, kling_external_query=True) as visitor:
        accepted = (await visitor.post(KLING + kind, {**BODIES[kind], "external_task_id": "mine"})).json["data"]
        assert ("external_task_id" in accepted["task_info"]) == (kind == "text2video")
        assert (await visitor.get(f"{KLING}{kind}/mine")).status == (200 if kind == "text2video" else 404)
        assert (await visitor.get(f"{KLING}{kind}/{accepted['task_id']}")).status == 200


@for_each("kind", ["video-extend", "lip-sync", "advanced-lip-sync", "text2video"])
async def test_a_task_that_makes_a_video_of_another_one_shows_that_too(kind: str) -> None:
    async with visiting(kling_http_200=0.0) as visitor:
        accepted = await visitor.post(KLING + kind, BODIES[kind])
        shown = (await visitor.get(f"{KLING}{kind}/{accepted.json['data']['task_id']}")).json["data"]
        assert ("parent_video" in shown["task_info"]) == (kind != "text2video")


async def test_models_that_a_path_names_are_opened_by_no_token() -> None:
    async with visiting(kling_pairs=(PAIR,), kling_http_200=0.0) as visitor:
        asked = await visitor.get("/tasks", headers={"Authorization": token()}, task_ids="nobody")
        assert asked.status == 401


async def test_the_official_account_has_packs_of_units() -> None:
    async with visiting() as visitor:
        packs = await _packs_bought(visitor, days_ago=400)
        assert [pack["remaining_quantity"] for pack in packs] == [1000]


async def test_the_official_account_lists_packs_by_when_they_were_bought() -> None:
    async with visiting() as visitor:
        assert await _packs_bought(visitor, days_ago=90) == []


async def _packs_bought(visitor: Visitor, *, days_ago: int) -> list[dict[str, Any]]:
    now = round(time.time() * 1000)
    span = {"start_time": str(now - days_ago * 86_400_000), "end_time": str(now)}
    told = await visitor.get("/account/costs", headers={"Authorization": token()}, **span)
    return list(told.json["data"]["resource_pack_subscribe_infos"])


async def test_faces_and_selections_are_sessions_before_a_task() -> None:
    async with visiting() as visitor:
        faces = await visitor.post(KLING + "identify-face", {"video_id": "c"})
        assert faces.json["data"]["face_data"][0]["face_id"] == "0"
        selection = await visitor.post(KLING + "multi-elements/init-selection", {"video_url": CLIP})
        session = {"session_id": selection.json["data"]["session_id"]}
        assert (await visitor.post(KLING + "multi-elements/clear-selection", session)).json["code"] == 0
        assert (await visitor.post(KLING + "multi-elements/add-selection", {})).json["code"] == 1201
