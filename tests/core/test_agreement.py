"""Two readings of what the services take, made apart from each other: they agree on thousands of requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.job import VideoJob
from tests.cases import one_in
from tests.core.request_strategies import CATALOG, MODELS, least, mistakes, requests

accepts = pytest.importorskip("aimlvideo.sandbox.validation", reason="the sandbox is an extra").accepts

# No document says that these texts are files; here it is known, and an empty one refused.
UNMARKED = ("mask", "audio_url")


def refused_here(model: Model, body: dict[str, Any]) -> bool:
    return bool(check(VideoJob(model.id, id="job", **body), CATALOG).problems)


def refused_there(model: Model, body: dict[str, Any]) -> bool:
    return bool(accepts(model.id, {"model": model.id, **body}))


def wrong_requests(model: Model) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what may be said in JSON and is wrong in one way, or lacks something."""
    right = least(model)
    yield "nothing wrong", right
    for name in right:
        yield f"{name} missing", {key: value for key, value in right.items() if key != name}
    for name, param in model.params.items():
        if not param.legacy:
            for what, value, path in mistakes(param, name):
                if in_json(value) and not (path.endswith(UNMARKED) and blank(value)):
                    yield f"{path} {what}", {**right, name: value}


def blank(value: Any) -> bool:
    return '""' in json.dumps(value) or '" "' in json.dumps(value)


def in_json(value: Any) -> bool:
    try:
        return bool(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return False


@one_in(3, "part", range(3))
def test_both_refuse_each_single_mistake(part: int) -> None:
    models = MODELS[part::3]
    asked = [(model, what, body) for model in models for what, body in wrong_requests(model)]
    differing = [
        (model.id, what, body) for model, what, body in asked if refused_here(model, body) != refused_there(model, body)
    ]
    assert not differing
    assert len(asked) > 5 * len(models)


def test_both_take_what_is_made_at_random_from_the_facts_with_or_without_a_field() -> None:
    @settings(max_examples=5 * settings.default.max_examples)
    @given(st.data())
    def agree(data: st.DataObject) -> None:
        model = data.draw(st.sampled_from(MODELS))
        body = data.draw(requests(model))
        for name, param in model.params.items():
            if param.legacy:
                body.pop(name, None)
        if body and data.draw(st.booleans()):
            del body[data.draw(st.sampled_from(sorted(body)))]
        sent = check(VideoJob(model.id, id="job", **body), CATALOG).params
        assert refused_here(model, body) == refused_there(model, sent)

    agree()
