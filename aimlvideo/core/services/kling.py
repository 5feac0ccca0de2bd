"""A Kling-style gateway: it lists a task as soon as it accepts it, finds it by our id, and can call back."""

from __future__ import annotations

from aimlvideo.core.media_types import FileLimits, MediaLimits
from aimlvideo.core.services.base import Helper, LookupById, Service
from aimlvideo.core.wires.kling import (
    ID_FIELD,
    Kling,
    external_task_request,
    helper_request,
    path_below,
    read_callback,
    read_external_task,
    read_helper,
    takes_external_id,
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
        inline=FileLimits(
            types=("image/jpeg", "image/png", "audio/mpeg", "audio/wav", "audio/mp4", "audio/aac"),
            max_bytes=10 * 2**20,
            min_side=300,
            max_ratio=2.5,
            taken_by="this service",
            upload_helps=True,
        ),
    ),
    lookup=LookupById(external_task_request, read_external_task, 200 / 60, takes_external_id),
    helper=Helper(helper_request, read_helper),
    settle=60.0,
    read_callback=read_callback,
    id_field=ID_FIELD,
    path_below=path_below,
)
