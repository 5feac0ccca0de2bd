"""What is asked, what is known so far, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from aimlvideo.core.stages import STAGES, Stage
from aimlvideo.errors import Problem, VideoError


@dataclass(frozen=True, slots=True, init=False)
class VideoJob:
    """One clip that is wanted: `VideoJob("kling-video/v1.6/pro/image-to-video", prompt="...", image_url="a.png")`.

    `params` are the model's own parameters, as its documentation names them. Pictures may be links, paths, `bytes`
    or PIL images. `id` names the job in results and files; without one it is derived from the content, so the same
    job has the same id tomorrow.
    """

    model: str
    params: Mapping[str, Any]
    id: str

    def __init__(self, model: str, *, id: str | None = None, **params: Any) -> None:  # noqa: A002 - the field's name
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "params", params)
        object.__setattr__(self, "id", id or f"job-{content_digest(model, params)[:12]}")


def content_digest(model: str, params: Mapping[str, Any]) -> str:
    """Return 64 hex digits that change when what is asked changes, and with nothing else."""
    asked = json.dumps([model, params], sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_stand_in)
    return hashlib.sha256(asked.encode()).hexdigest()


def _stand_in(value: object) -> str:
    """Stand in for what JSON does not know: bytes and PIL images by their content, paths by their text."""
    if isinstance(value, PurePath):
        return str(value)
    raw = value if isinstance(value, bytes) else getattr(value, "tobytes", lambda: repr(value).encode())()
    return hashlib.sha256(raw).hexdigest()
