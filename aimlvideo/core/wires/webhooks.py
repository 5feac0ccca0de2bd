"""Is a callback signed by who it says? The Standard Webhooks way (standardwebhooks.com, specification 1.0)."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping

TOLERANCE = 300
"""Seconds that a callback's timestamp may lie in the past or the future."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class WebhookSecret:
    """What calls are signed with: Base64 behind `whsec_`. Raises ValueError where it is none, or of nothing."""

    def __init__(self, text: str) -> None:
        self._key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
        if not self._key:
            raise ValueError("a webhook secret is Base64 behind whsec_")

    def is_forged(self, headers: Mapping[str, str], body: bytes, *clocks: float | None) -> bool:
        """Tell whether a call has a signature that holds by no clock: ours, or the service's, where that is known.

        One without any is not: some services do not sign.
        """
        holds = (self.has_signed(headers, body, now) for now in clocks if now is not None)
        return "webhook-signature" in headers and not any(holds)

    def has_signed(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Tell whether one of the signatures in the headers holds; several stand there while a key rotates."""
        message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not _TIMESTAMP.fullmatch(timestamp) or abs(now - int(timestamp)) > TOLERANCE:
            return False
        expected = f"v1,{self._signature(message_id, timestamp, body)}"
        signatures = headers.get("webhook-signature", "").split(" ")
        # Compared in constant time: a comparison that stops at the first wrong letter tells an attacker how far he is.
        return any(hmac.compare_digest(expected.encode(), one.encode(errors="surrogateescape")) for one in signatures)

    def _signature(self, message_id: str, timestamp: str, body: bytes) -> str:
        """Return Base64 of HMAC-SHA256 over `id.timestamp.body`."""
        signed = f"{message_id}.{timestamp}.".encode(errors="surrogateescape") + body
        return base64.b64encode(hmac.digest(self._key, signed, "sha256")).decode()
