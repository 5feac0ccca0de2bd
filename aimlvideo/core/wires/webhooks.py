"""Is a callback signed by who it says? The Standard Webhooks way (standardwebhooks.com, specification 1.0)."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping

TOLERANCE = 300
"""Seconds that a callback's timestamp may lie in the past or the future."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def _signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """Return Base64 of HMAC-SHA256 over `id.timestamp.body`; the key is the Base64 behind `whsec_`.

    Raises ValueError where the secret is not valid Base64.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError as error:
        raise ValueError("a webhook secret is Base64 behind whsec_") from error
    signed = f"{message_id}.{timestamp}.".encode(errors="surrogateescape") + body
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def usable_secret(secret: str) -> bool:
    """Tell whether a secret can sign anything."""
    try:
        return bool(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        return False


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Tell whether one of the signatures in the headers holds; several stand there while a key rotates."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not _TIMESTAMP.fullmatch(timestamp) or abs(now - int(timestamp)) > TOLERANCE:
        return False
    expected = f"v1,{_signature(secret, message_id, timestamp, body)}"
    signatures = headers.get("webhook-signature", "").split(" ")
    # Compared in constant time: a comparison that stops at the first wrong letter tells an attacker how far he is.
    return any(hmac.compare_digest(expected.encode(), one.encode(errors="surrogateescape")) for one in signatures)
