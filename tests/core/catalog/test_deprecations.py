"""Models that go: what a person hears before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime

from aimlvideo.core.catalog.deprecations import Deprecation
from aimlvideo.core.money.account import KeyLimits
from aimlvideo.core.wires.aimlapi_account import KEY
from aimlvideo.core.wires.aimlapi_models import DEPRECATIONS
from tests.cases import for_each
from tests.core.wires.answers import answer

NOW = datetime(2026, 8, 20, tzinfo=UTC).timestamp()
ENTRY = {
    "id": "old/one",
    "aliases": ["old-one"],
    "status": "withdrawn",
    "deprecated_at": "2026-06-01",
    "shutdown_at": "2026-08-10",
    "replaced_by": "new/one",
    "reason": None,
}


def sentences(now: float = NOW, run_ends: float = NOW + 600, **changed: object) -> tuple[list[str], list[str]]:
    listed = DEPRECATIONS.read(answer({"object": "list", "data": [{**ENTRY, **changed}, None, {"id": 5}]}))
    return Deprecation.sentences(["old/one", "other"], listed, now, run_ends)


def test_a_withdrawn_model_is_named_with_its_day_and_its_successor() -> None:
    assert sentences() == (["model 'old/one' is withdrawn since 10 August 2026: use new/one"], [])
    assert sentences(status="deprecated") == (["model 'old/one' is withdrawn since 10 August 2026: use new/one"], [])
    assert sentences(shutdown_at=None, deprecated_at=None, replaced_by=None) == (["model 'old/one' is withdrawn"], [])


@for_each(
    ("changed", "remark"),
    [
        (
            {"status": "deprecated", "shutdown_at": "2026-09-01"},
            "model 'old/one' will be withdrawn on 1 September 2026: use new/one",
        ),
        (
            {"status": "deprecated", "shutdown_at": "2026-08-20T00:05:00Z"},
            "model 'old/one' will be withdrawn on 20 August 2026, which this run may pass: use new/one",
        ),
        ({"status": "deprecated", "shutdown_at": None}, "model 'old/one' is deprecated: use new/one"),
        (
            {"status": "Superseded", "shutdown_at": None},
            "model 'old/one' is superseded, the service answers with new/one",
        ),
    ],
)
def test_a_model_that_goes_is_a_remark(changed: dict[str, object], remark: str) -> None:
    assert sentences(**changed) == ([], [remark])


def test_an_alias_goes_with_its_model_and_a_new_word_is_nothing() -> None:
    listed = DEPRECATIONS.read(answer({"data": [ENTRY]}))
    assert Deprecation.sentences(["old-one"], listed, NOW, NOW)[0] == [
        "model 'old-one' is withdrawn since 10 August 2026: use new/one"
    ]
    assert Deprecation("m", "sunsetting").sentence(NOW, NOW) == ""


def key(**data: object) -> KeyLimits:
    return KEY.read(answer({"data": {"disabled": False, "prefix": "b747", "monthly_usage": 10, **data}}))


def test_a_key_has_limits_of_its_own() -> None:
    assert key().max_remaining is None
    assert key(limit={"retention": "month", "threshold": 25}).max_remaining == 15
    assert key(limit={"retention": "day", "threshold": 25}).max_remaining == 25
    assert key(limit={"retention": "month", "threshold": 5}).max_remaining == 0
    assert "own limit of 5.00 USD" in key(limit={"retention": "month", "threshold": 5}).problem()


@for_each(
    ("data", "problem"),
    [
        ({}, ""),
        ({"scopes": None}, ""),
        ({"scopes": ["model:chat", "model:video"]}, ""),
        ({"scopes": ["model:chat"]}, "its scopes are model:chat, expected model:video"),
        ({"scopes": []}, "its scopes are none"),
        ({"disabled": True}, "is disabled"),
        ({"disabled": True, "scopes": ["model:video"]}, "is disabled"),
    ],
)
def test_a_key_that_can_make_no_video_says_why(data: dict[str, object], problem: str) -> None:
    assert problem in key(**data).problem()
    assert bool(key(**data).problem()) == bool(problem)
    assert key(**data).is_accepted == (not problem)
