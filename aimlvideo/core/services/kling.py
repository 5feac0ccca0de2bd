"""A Kling-style gateway: it lists a task as soon as it accepts it, finds it by our id, and can call back."""

from __future__ import annotations

from aimlvideo.core.media_types import FileLimits, MediaLimits
from aimlvideo.core.services.base import Service
from aimlvideo.core.wires.kling import HELPER, LOOKUP, Kling, path_below, read_callback
from aimlvideo.core.wires.kling_tasks import ID_FIELD

_INLINE = FileLimits(
    types=("image/jpeg", "image/png", "audio/mpeg", "audio/wav", "audio/mp4", "audio/aac"),
    max_bytes=10 * 2**20,
    min_side=300,
    max_ratio=2.5,
    taken_by="this service",
    upload_helps=True,
)
SERVICE = Service(
    name="kling",
    title="a Kling gateway",
    wire=Kling,
    base_url="https://api.ezmodel.cloud",
    base_url_variable="AIMLAPI_BASE_URL",
    key_variables=(("AIMLAPI_API_KEY",), ("AIML_API_KEY",)),
    key_url="your gateway's dashboard",
    media=MediaLimits(
        data_uri=False,
        inline=_INLINE,
        inline_in_path=_INLINE._replace(
            max_bytes=50 * 2**20
        ),  # as Kling's pages of September 2026 say of each such model
    ),
    lookup=LOOKUP,
    helper=HELPER,
    settle=60.0,
    read_callback=read_callback,
    id_field=ID_FIELD,
    path_below=path_below,
)
