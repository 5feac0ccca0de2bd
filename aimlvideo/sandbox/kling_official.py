"""The official API's token: a JWT signed with the secret key (RFC 7519, HS256), good by the service's own clock."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode
from hashlib import sha256
from typing import Any

MODEL_PATHS = ("/text-to-video/", "/image-to-video/", "/omni-video/", "/motion-control/", "/tasks")
"""Where a key in one part is wanted."""

PATHS = ("/v1/videos/", "/account/", *MODEL_PATHS)
"""Where a token is wanted, or a key in one part."""


def is_good_token(token: str, pairs: tuple[str, ...] | None, now: float) -> bool:
    """Tell whether a token lets its bearer in; `pairs` are `ACCESS:SECRET`, None takes every well-made token.

    `now` is the service's time in seconds since 1970.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return False
    head, claims = _json(parts[0]), _json(parts[1])
    # The algorithm is compared, never obeyed: "none" would let everybody in.
    if head != {"alg": "HS256", "typ": "JWT"} or not isinstance(claims.get("iss"), str):
        return False
    if not _whole(claims.get("exp")) or not _whole(claims.get("nbf")) or not claims["nbf"] <= now < claims["exp"]:
        return False
    # The documentation gives tokens half an hour; one that is good for days is a mistake worth finding.
    if claims["exp"] - claims["nbf"] > 2 * 3600:
        return False
    secrets = [pair.partition(":")[2] for pair in pairs or () if pair.partition(":")[0] == claims["iss"]]
    signed = f"{parts[0]}.{parts[1]}".encode()
    good = [hmac.digest(secret.encode(), signed, sha256) for secret in secrets]
    return pairs is None or any(hmac.compare_digest(one, _bytes(parts[2])) for one in good)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _bytes(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(text))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
