"""A callback is signed by who it says, or not."""

from __future__ import annotations

import base64
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimlvideo.core.wires.webhooks import WebhookSecret
from aimlvideo.errors import SettingsError
from aimlvideo.settings import Settings
from tests.cases import for_each
from tests.schemas.strategies import LETTERS

SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
OTHER = "whsec_" + base64.b64encode(b"another secret, of the right length").decode()
BODY = b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
SIGNED_AT = 1781080794
SIGNATURE = "UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="


def headers(signatures: str = f"v1,{SIGNATURE}", **more: str) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    given = {"webhook-id": "9876543210", "webhook-timestamp": str(SIGNED_AT), "webhook-signature": signatures}
    return given | named


def test_the_published_example_is_signed() -> None:
    assert WebhookSecret(SECRET)._signature("9876543210", str(SIGNED_AT), BODY) == SIGNATURE
    assert WebhookSecret(SECRET).has_signed(headers(), BODY, SIGNED_AT)


@for_each(
    ("told", "body", "late", "good"),
    [
        (headers(f"v1,old== v1,{SIGNATURE}"), BODY, 0, True),
        (headers(f"v1,{SIGNATURE} v2,other"), BODY, 0, True),
        (headers(f"v1a,{SIGNATURE}"), BODY, 0, False),
        (headers(SIGNATURE), BODY, 0, False),
        (headers(""), BODY, 0, False),
        (headers(f"v1,{SIGNATURE},v1,x"), BODY, 0, False),
        (headers(), BODY, 300, True),
        (headers(), BODY, -300, True),
        (headers(), BODY, 301, False),
        (headers(), BODY, -301, False),
        (headers(), BODY + b" ", 0, False),
        (headers(webhook_id="9876543211"), BODY, 0, False),
        (headers(webhook_timestamp=str(SIGNED_AT + 1)), BODY, 0, False),
        (headers(webhook_timestamp=""), BODY, 0, False),
        (headers(webhook_timestamp="soon"), BODY, 0, False),
        (headers(webhook_timestamp="-1"), BODY, 0, False),
        (headers(webhook_timestamp="1781080794.0"), BODY, 0, False),
        (headers(webhook_timestamp="9" * 5000), BODY, 0, False),
        (headers(webhook_timestamp="١٧٨١٠٨٠٧٩٤"), BODY, 0, False),
        (headers("v1,\udcff"), BODY, 0, False),
        (headers(webhook_id="\udcff"), BODY, 0, False),
        ({}, BODY, 0, False),
    ],
)
def test_a_call_is_believed_only_where_one_signature_holds_now(
    told: dict[str, str], body: bytes, late: int, good: bool
) -> None:
    assert WebhookSecret(SECRET).has_signed(told, body, SIGNED_AT + late) is good


def test_another_secret_signs_nothing() -> None:
    assert not WebhookSecret(OTHER).has_signed(headers(), BODY, SIGNED_AT)


@given(st.fixed_dictionaries({name: st.text(LETTERS, max_size=20) for name in headers()}), st.binary(max_size=20))
def test_whatever_a_stranger_sends_is_turned_away_and_breaks_nothing(told: dict[str, str], body: bytes) -> None:
    assert not WebhookSecret(SECRET).has_signed(told, body, SIGNED_AT)


@for_each(
    ("secret", "usable"),
    [
        (SECRET, True),
        (SECRET.removeprefix("whsec_"), True),
        ("", False),
        ("whsec_", False),
        ("secret!", False),
        ("é", False),
    ],
)
def test_a_secret_is_base_64_of_something(secret: Any, usable: bool) -> None:
    expected = "cannot sign: expected Base64 behind whsec_"
    with nullcontext() if usable else pytest.raises(SettingsError, match=expected):
        Settings(api_key="k", base_url="https://a.example", service="kling", callback_secret=secret)
