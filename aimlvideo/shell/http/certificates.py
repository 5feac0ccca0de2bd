"""Which certificate authorities are trusted: the system's, or those of a file that the environment names."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from aimlvideo.errors import SettingsError

VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The first that is set counts: what Python reads itself, then what other tools in the same shell go by."""


def trusted_authorities(environment: Mapping[str, str] = os.environ) -> ssl.SSLContext | None:
    """Return what connections are checked with, None for the system's authorities.

    A file or a folder of certificates in PEM counts alone. Raises SettingsError where it holds none.
    """
    name = next((name for name in VARIABLES if environment.get(name)), None)
    if name is None:
        return None
    path = Path(environment[name])
    try:
        return _authorities_in(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        # Of a file without any certificate OpenSSL says only that something is wrong.
        missing = "no such file" if not path.exists() else getattr(error, "strerror", None) or "no certificates in it"
        reason = "no certificates in it" if isinstance(error, ssl.SSLError) else missing
        raise SettingsError(
            f"{name} is {str(path)!r}: expected a file with certificates in PEM ({reason}). Correct it, or unset it to "
            "trust the system's"
        ) from error


@lru_cache(maxsize=4)
def _authorities_in(path: Path, _changed_at: int) -> ssl.SSLContext:
    """Return a context that all clients of this process share, until the file changes: reading it takes 60 ms."""
    if path.is_dir():
        return ssl.create_default_context(capath=str(path))
    return ssl.create_default_context(cafile=str(path))
