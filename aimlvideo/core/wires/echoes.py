"""Answers without the words that we sent: what a service quotes of a prompt says nothing about the service.

A refusal of one job may repeat its prompt, and "full throttle" or "he has run out of money" in it would be read as the
service's own words about every job.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from aimlvideo.core.jobs.job import texts_in
from aimlvideo.core.wires.http import Answer

SHORTEST = 8
"""Characters of a text that is taken for a quotation where it occurs in an answer."""
BEGINNING = 12
"""Characters by which one is found: services cut what they quote."""
LONGEST = 20_000
"""Characters of a prompt; anything longer is a file."""
LEFT_OUT = "…"


def without_echoes(answer: Answer, sent: Mapping[str, Any]) -> Answer:
    """Return an answer in which each text that was `sent`, or as much of its beginning as is quoted, is left out."""
    prompts = [text for text in texts_in(sent) if _is_prose(text)]
    if not prompts:
        return answer
    body = answer.json()
    if body is None:
        text = answer.body.decode(errors="replace")
        shortened = _without(text, prompts)
        return answer if shortened == text else replace(answer, body=shortened.encode(errors="replace"))
    shortened_body = _without_any(body, prompts)
    return answer if shortened_body == body else replace(answer, body=json.dumps(shortened_body).encode())


def _is_prose(text: str) -> bool:
    """Tell words that a person wrote from a name, a link or a file's content."""
    is_long_enough = SHORTEST <= len(text) <= LONGEST
    return is_long_enough and (not text.isascii() or any(map(str.isspace, text.strip())))


def _without_any(value: Any, prompts: Sequence[str]) -> Any:
    if isinstance(value, str):
        return _without(value, prompts)
    if isinstance(value, dict):
        return {name: _without_any(part, prompts) for name, part in value.items()}
    return [_without_any(part, prompts) for part in value] if isinstance(value, list) else value


def _without(text: str, prompts: Sequence[str]) -> str:
    for prompt in prompts:
        parts, rest = [], 0
        while (start := text.find(prompt[:BEGINNING], rest)) >= 0:
            parts += [text[rest:start], LEFT_OUT]
            rest = start + _common_length(text, start, prompt)
        text = "".join((*parts, text[rest:]))
    return text


def _common_length(text: str, start: int, prompt: str) -> int:
    """Return how many characters of a prompt stand in a text from `start` on."""
    quoted = text[start : start + len(prompt)]
    differing = (length for length, (one, other) in enumerate(zip(quoted, prompt, strict=False)) if one != other)
    return next(differing, len(quoted))
