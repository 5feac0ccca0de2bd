"""What is said of an account that pays in units, and of a key that has limits of its own."""

from __future__ import annotations

from typing import Any

from aimlvideo.cli.commands.balance import _key_json, _key_lines, _pack_json, _pack_line
from aimlvideo.core.money.account import KeyLimits, ResourcePack
from tests.cases import for_each

EXPIRES_AT = 1_801_353_600.0


@for_each(
    ("pack", "line", "expires"),
    [
        (
            ResourcePack("Video 100", "online", 120.0, 200.0, EXPIRES_AT),
            "Video 100: 120 of 200 units left until 2027-01-31 (online)",
            "2027-01-31T00:00:00+00:00",
        ),
        (ResourcePack("Video 100", "", None, None, None), "Video 100: an unknown number of units left", None),
    ],
)
def test_a_pack_says_what_is_left_of_it_and_until_when(pack: ResourcePack, line: str, expires: str | None) -> None:
    assert _pack_line(pack) == line
    assert _pack_json(pack) == {**pack._asdict(), "expires_at": expires}


NOTHING = {"key_limit_usd": None, "key_remaining_usd": None, "key_problem": None}


@for_each(
    ("key", "lines", "said"),
    [
        (None, [], {}),
        (KeyLimits(), [], {}),
        (
            KeyLimits(limit=5.0, period="month", used_this_month=2.0),
            ["3.00 USD at most of it by this key: its own limit is 5.00 USD"],
            {"key_limit_usd": 5.0, "key_remaining_usd": 3.0},
        ),
        (
            KeyLimits(disabled=True, limit=5.0),
            ["the API key is disabled: enable it, or use another one"],
            {
                "key_limit_usd": 5.0,
                "key_remaining_usd": 5.0,
                "key_problem": "the API key is disabled: enable it, or use another one",
            },
        ),
    ],
)
def test_a_key_says_what_it_may_spend_or_why_it_may_not(
    key: KeyLimits | None, lines: list[str], said: dict[str, Any]
) -> None:
    assert _key_lines(key) == lines
    assert _key_json(key) == NOTHING | said
