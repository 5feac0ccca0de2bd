"""Asyncio-native client and bulk runner for hosted AI video generation.

async with VideoClient() as client:
    video = await client.generate("kling-video/v1.6/pro/image-to-video", prompt="...", image_url="a.png")
    await video.save("clip.mp4")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aimlvideo.client import VideoClient
    from aimlvideo.core.jobs.job import Result, VideoJob
    from aimlvideo.core.jobs.stages import Stage
    from aimlvideo.core.wires.generation import Generation
    from aimlvideo.distributed.job_list import JobList
    from aimlvideo.errors import VideoError
    from aimlvideo.pipeline.run import Run

__version__ = "0.1.0"
__all__ = ["Generation", "JobList", "Result", "Run", "Stage", "VideoClient", "VideoError", "VideoJob", "__version__"]

_HOMES = {
    "Run": "aimlvideo.pipeline.run",
    "JobList": "aimlvideo.distributed.job_list",
    "Generation": "aimlvideo.core.wires.generation",
    "Result": "aimlvideo.core.jobs.job",
    "Stage": "aimlvideo.core.jobs.stages",
    "VideoClient": "aimlvideo.client",
    "VideoError": "aimlvideo.errors",
    "VideoJob": "aimlvideo.core.jobs.job",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: `aimlvideo --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'aimlvideo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
