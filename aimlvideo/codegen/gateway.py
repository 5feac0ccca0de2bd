"""The Kling gateway's models, written by hand: no document in machine-readable form describes them.

Names are this package's own (`image_url`, `tail_image_url`, plain strings in `image_list`); the wire makes of them what
the gateway calls them. Which of its three endpoints takes a job follows from the pictures that are given.
"""

from __future__ import annotations

from typing import Any

KNOWN = (
    "kling-v1",
    "kling-v1-5",
    "kling-v1-6",
    "kling-v2-master",
    "kling-v2-1",
    "kling-v2-1-master",
    "kling-v2-5-turbo",
)

_PARAMS: dict[str, Any] = {
    "prompt": {"type": "string", "max_length": 2500},
    "negative_prompt": {"type": "string", "max_length": 2500},
    "image_list": {"type": "array", "min_items": 1, "max_items": 4, "item": {"type": "string", "media": "image"}},
    "image_url": {"type": "string", "media": "image"},
    "tail_image_url": {"type": "string", "media": "image"},
    "mode": {"type": "string", "choices": ["std", "pro"], "default": "std"},
    "aspect_ratio": {"type": "string", "choices": ["16:9", "9:16", "1:1"], "default": "16:9"},
    "duration": {"type": "integer", "choices": [5, 10], "default": 5},
    "cfg_scale": {"type": "number", "min": 0, "max": 1},
    "callback_url": {"type": "string"},
    "external_task_id": {"type": "string"},
}

_RULES: list[dict[str, Any]] = [
    {"kind": "required_unless", "fields": ["prompt", "image_url", "tail_image_url"]},
    {"kind": "at_most_one", "fields": ["image_list", "image_url"]},
    {"kind": "at_most_one", "fields": ["image_list", "tail_image_url"]},
]

_SHARED: dict[str, Any] = {
    "developer": "klingai",
    "path": "/kling/v1/videos",
    "service": "kling",
    "service_names": {"image": "image_url", "image_tail": "tail_image_url"},
    "rules": _RULES,
    "params": _PARAMS,
}

GATEWAY: dict[str, Any] = dict.fromkeys(KNOWN, _SHARED)

UNLISTED: list[dict[str, Any]] = [{"pattern": "kling-[^/]*", **_SHARED}]
