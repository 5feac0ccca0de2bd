"""Changes to JSON that leave it JSON: mutated bytes alone hardly ever get past a parser."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

WORDS = (
    *("id", "generation_id", "status", "video", "url", "error", "detail", "message", "code", "data", "task_id"),
    *("task_status", "task_result", "videos", "meta", "usage", "credits_used", "completed", "succeed", "models"),
    *("version", "written", "events", "exposure", "date", "etag", "paths", "post", "properties", "enum", "model"),
    *("prompt", "image_url", "type", "aliases", "developer", "path", "params", "choices", "endpoints", "file"),
    *("files", "video_urls", "cost", "usd", "created", "amount", "pricing", "info", "refused", "service", "rules"),
)
"""Names and words that some reader knows."""
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, -(10**400), 10**400, 0.5, 1e308, -1e308, 1e-320),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        " ",
        "0",
        "-1",
        "1e999",
        "NaN",
        "\0",
        "\ud800",
        "\u202e",
        "x" * 300,
    ),
    *([], {}, [[]], [{}], {"": ""}, [None], "../x", "https://", "https://[", "data:,", "9999-12-31T23:59:59+14:00"),
    *("0001-01-01", "2026-02-30", "١٢", "1_000", "$ref", "#/", "error", "failed", "completed"),
)
"""Values that somebody once did not think of."""


def mutated(data: bytes, most: int, seed: int, mutate: Callable[[bytes, int], bytes]) -> bytes:
    """Return JSON with one to three of its values changed; what is no JSON, and one time in four any, by `mutate`."""
    chance = random.Random(seed)
    head = data[: len(data) - len(data.lstrip(b"\0\1\2\3\4\5\6\7\x08\x09"))]
    try:
        value = json.loads(data[len(head) :])
    except (ValueError, RecursionError):
        return mutate(data, most)
    if chance.random() < 0.25:
        return mutate(data, most)
    for _ in range(chance.randint(1, 3)):
        value = _changed(value, chance)
    try:
        changed = head + json.dumps(value).encode()
    except (ValueError, RecursionError):
        return mutate(data, most)
    return changed if len(changed) <= most else mutate(data, most)


def _changed(value: Any, chance: random.Random) -> Any:
    """Return a value with one change somewhere in it."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice(list(value))
        kind = chance.random()
        if kind < 0.1:
            return {other: part for other, part in value.items() if other != name}
        if kind < 0.2:
            return {**value, chance.choice(WORDS): value[name]}
        return {**value, name: _changed(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        place = chance.randrange(len(value))
        kind = chance.random()
        if kind < 0.2:
            return [*value, value[place]]
        return [*value[:place], _changed(value[place], chance), *value[place + 1 :]]
    return chance.choice((chance.choice(ODD), chance.choice(WORDS), [value], {chance.choice(WORDS): value}, str(value)))
