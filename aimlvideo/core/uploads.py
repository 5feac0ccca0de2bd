"""Local files behind links that expire: how their folder is named, and how their links stay out of every message."""

from __future__ import annotations

import re
from math import ceil

HOUR, DAY = 3600.0, 86400.0
LONGEST_VALIDITY = 7 * DAY
"""Seconds for which a link can be signed, at most: longer ones are refused by S3."""
_FOLDER = re.compile(r"aimlvideo-(\d{10,12})-[0-9a-f]{12}")
_SIGNED = re.compile(rb"(aimlvideo-\d{10,12}-[0-9a-f]{12}(?:\\*/|%2F)[0-9a-f]{32}\.\w{1,8})(?:\?|%3F)[^\s\"'<>]*", re.I)


def upload_folder(until: float, token: str) -> str:
    """Return the name of a folder whose links are valid `until` then, in seconds since 1970.

    The moment is in the name, so that whoever lists the bucket later knows what nobody can fetch any more.
    """
    return f"aimlvideo-{ceil(until)}-{token}"


def valid_until(folder: str) -> float | None:
    """Return until when the links into a folder are valid; None for a folder that is none of ours."""
    match = _FOLDER.fullmatch(folder)
    return None if match is None else float(match[1])


def needed_validity(patience: float) -> float:
    """Return for how many seconds a link has to be valid when it is handed out, where a clip is waited for so long.

    The service fetches the file when the generation begins; an hour is for a queue in front of it.
    """
    return min(patience + HOUR, LONGEST_VALIDITY - HOUR)


def validity(patience: float) -> float:
    """Return for how many seconds the links into a new folder are valid."""
    return min(max(DAY, 2 * needed_validity(patience)), LONGEST_VALIDITY)


def without_signatures(body: bytes) -> bytes:
    """Return an answer in which links to uploaded files have lost their signatures: services quote them in errors."""
    return _SIGNED.sub(rb"\1", body) if b"aimlvideo-" in body else body
