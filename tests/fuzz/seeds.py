"""Sound inputs of each reader: what is changed from them gets deeper than what begins with nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).with_name("corpus")
MODEL = "kling-video/v1.6/standard/text-to-video"
_LINK = "https://cdn.example.com/a.mp4?sig=1%2F2"
_MOMENT = "2026-11-26T21:00:00Z"
_PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isommp42\0\0\0\x08free\0\0\0\x10mdat\0\0\0\0\0\0\0\0\0\0\0\x08moov"
_GENERATION = {"id": "g:1", "status": "completed", "video": {"url": _LINK, "size": 9}, "error": None}
_USAGE = {"meta": {"usage": {"credits_used": 420000, "usd_spent": 0.21}}}
_TASK = {"task_id": "g1", "task_status": "succeed", "task_status_msg": "", "final_unit_deduction": "2"}
_TASK_INFO = {"task_info": {"external_task_id": "av-1"}, "created_at": 1722769557708, "updated_at": 1722769557708}
_FILMS = {"task_result": {"videos": [{"id": "f", "url": _LINK, "duration": "5.1"}]}}
_PACK = {
    "resource_pack_name": "Video",
    "remaining_quantity": 118.0,
    "total_quantity": 200.0,
    "invalid_time": 1724899200,
}
_ROW = {"created": _MOMENT, "status": "success", "cost": {"usd": 0.2}, "inference_id": "g", "client_request_id": "av-1"}
_CHARGE = {
    "created_at": _MOMENT,
    "direction": "debit",
    "type": "MODEL_USAGE",
    "amount": {"usd": 0.2},
    "reference_id": "g",
}
_KEY = {
    "disabled": False,
    "monthly_usage": 3,
    "scopes": ["model:video"],
    "limit": {"threshold": 5, "retention": "month"},
}
_PRICING = {
    "kind": "variants",
    "currency": "USD",
    "variants": [{"when": {"duration": [5, "10"]}, "price": 0.05, "unit": "second"}],
}
_PARAM = {"type": "integer", "enum": [5, 10], "default": 5, "minimum": 1, "maximum": 10}
_SCHEMA = {"type": "object", "required": ["prompt"], "properties": {"prompt": {"type": "string"}, "duration": _PARAM}}
_DOCUMENT = {
    "paths": {
        "/v2/video/generations": {"post": {"requestBody": {"content": {"application/json": {"schema": _SCHEMA}}}}}
    }
}
_PROGRESS: dict[str, Any] = {
    "stage": "saved", "request_id": "av-1", "generation_id": "g", "video_url": _LINK, "cost_usd": 0.2, "polls": 3,
    "submitted_at": 1.7e9, "completed_at": 1.7e9, "saved_at": 1.7e9, "file": "a.mp4", "bytes": 9,
    "video_urls": [_LINK, _LINK], "files": [["a.mp4", 9, None], ["a-2.mp4", 9, None]], "file_sizes": [9, None],
    "error": "ContentRefused[prompt]: no", "status": "done", "status_at": 1.7e9, "account": "x", "service_time": 1.7e9,
    "asked": [MODEL, {"prompt": "x"}],
}  # fmt: skip
_HISTOGRAM = {"events": {"3": 2.0}, "exposure": {"1": 9, "3": 9}}
_RESULT = {"id": "a", "model": MODEL, "stage": "saved", "generation_id": "g", "file": "a.mp4", "bytes": 9, "polls": 1}
_JOB = {"id": "a", "model": MODEL, "prompt": "x", "duration": 5, "image_list": ["a.png"]}
_ENTRY = {
    "developer": "x",
    "path": "/v2/x",
    "params": {"prompt": {"type": "string", "required": True}},
    "aliases": ["y"],
}
_SEEDS: dict[str, list[Any]] = {
    "aimlapi": [_GENERATION, {**_GENERATION, **_USAGE}, {"id": "g", "status": "error", "error": {"message": "no"}}],
    "kling": [{"code": 0, "data": {**_TASK, **_TASK_INFO, **_FILMS}}, {"code": 1303, "message": "too many"}],
    "kling-official": [{"code": 0, "data": [_TASK]}, {"code": 0, "data": {"resource_pack_subscribe_infos": [_PACK]}}],
    "account": [
        {"data": [_ROW], "pagination": {"has_more": True}},
        {"data": [_CHARGE], "pagination": {"has_more": True, "next_cursor": "c"}},
        *({"current_balance": 3, "currency": "USD"}, {"data": _KEY}),
        {"data": [{"id": "m", "aliases": ["n"], "pricing": _PRICING, "status": "x", "shutdown_at": _MOMENT}]},
        {"models": [{"alias": "m", "metrics": {"duration_ms": {"p50": 60000, "p90": 90000}}}]},
    ],
    "webhook": [{"data": {**_TASK, **_TASK_INFO}}],
    "headers": [b"120", b"Thu, 26 Nov 2026 21:00:00 GMT", b"\x1f\x8b\x08", b"gzip"],
    "link": [_LINK.encode(), b"//host/a b", b"\\\\host\\a", b"data:video/mp4;base64,AAAA", b"http://u:p@[::1%25eth0]:80/"],
    "document": [_DOCUMENT, {"data": [{"id": "m", "pricing": _PRICING, "info": {"docsJson": "https://x/y.json"}}]}],
    "jsonl": [_JOB], "json": [[_JOB], {"jobs": [_JOB]}],
    "csv": [f"id,model,prompt,duration\na,{MODEL},x,5\n".encode(), f"model;prompt\r\n{MODEL};\"x\"\r\n".encode()],
    "prompts": [b"a cat\n- a dog\n", b"1. a\n2. b\n"], "xlsx": [], "sheet": [], "picture": [_PICTURE], "clip": [_MP4],
    "journal": [_PROGRESS, {"stage": "rendering", "generation_id": "g"}, {"stage": "failed", "error": "Busy: x"}],
    "journal-file": [b"\0\x10\0\0", b"\x10\0SQLite", b"\x20\x01\xff"],
    "results": [_RESULT, {**_RESULT, "files": ["a.mp4", "a-2.mp4"], "video_urls": [_LINK, _LINK], "cost_usd": 0.2}],
    "durations": [{"version": 1, "written": 1.7e9, "models": {"m": _HISTOGRAM}}],
    "catalog": [{"models": {"x/new": _ENTRY}, "refused": {}, "date": _MOMENT, "etag": "e"}],
}  # fmt: skip
WITH_STATUS = ("aimlapi", "kling", "kling-official", "account")
"""Readers whose first byte is the answer's status."""


def seeds(reader: str) -> Iterator[bytes]:
    """Give the sound inputs of a reader, and what was found in it once."""
    for seed in _SEEDS[reader]:
        content = seed if isinstance(seed, bytes) else json.dumps(seed).encode()
        yield b"\0" + content if reader in WITH_STATUS else content
    yield from (path.read_bytes() for path in sorted((CORPUS / reader).glob("*")))
