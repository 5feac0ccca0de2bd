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
    from aimlvideo.core.jobs.job import VideoJob
    from aimlvideo.core.jobs.result import Result
    from aimlvideo.core.jobs.stages import Stage
    from aimlvideo.core.wires.base import Generation
    from aimlvideo.core.wires.http import Answer, Request, Transport
    from aimlvideo.distributed.job_list import JobList
    from aimlvideo.errors import (
        Busy,
        ContentRefused,
        DatabaseAway,
        DiskFailed,
        DownloadFailed,
        GenerationFailed,
        InDoubt,
        InvalidJobs,
        JournalError,
        LinkDead,
        NotAccepted,
        OutOfPatience,
        OverBudget,
        ParentFailed,
        ParentUnfinished,
        Problem,
        Refused,
        Rejected,
        ServiceError,
        SettingsError,
        Unavailable,
        Unclear,
        UnexpectedError,
        UploadFailed,
        UsageError,
        VideoError,
    )
    from aimlvideo.pipeline.run import Run
    from aimlvideo.shell.http.custom_transport import FunctionTransport

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "Busy",
    "ContentRefused",
    "DatabaseAway",
    "DiskFailed",
    "DownloadFailed",
    "FunctionTransport",
    "Generation",
    "GenerationFailed",
    "InDoubt",
    "InvalidJobs",
    "JobList",
    "JournalError",
    "LinkDead",
    "NotAccepted",
    "OutOfPatience",
    "OverBudget",
    "ParentFailed",
    "ParentUnfinished",
    "Problem",
    "Refused",
    "Rejected",
    "Request",
    "Result",
    "Run",
    "ServiceError",
    "SettingsError",
    "Stage",
    "Transport",
    "Unavailable",
    "Unclear",
    "UnexpectedError",
    "UploadFailed",
    "UsageError",
    "VideoClient",
    "VideoError",
    "VideoJob",
    "__version__",
]

_HOMES = {
    "Answer": "aimlvideo.core.wires.http",
    "Busy": "aimlvideo.errors",
    "ContentRefused": "aimlvideo.errors",
    "DatabaseAway": "aimlvideo.errors",
    "DiskFailed": "aimlvideo.errors",
    "DownloadFailed": "aimlvideo.errors",
    "FunctionTransport": "aimlvideo.shell.http.custom_transport",
    "Generation": "aimlvideo.core.wires.base",
    "GenerationFailed": "aimlvideo.errors",
    "InDoubt": "aimlvideo.errors",
    "InvalidJobs": "aimlvideo.errors",
    "JobList": "aimlvideo.distributed.job_list",
    "JournalError": "aimlvideo.errors",
    "LinkDead": "aimlvideo.errors",
    "NotAccepted": "aimlvideo.errors",
    "OutOfPatience": "aimlvideo.errors",
    "OverBudget": "aimlvideo.errors",
    "ParentFailed": "aimlvideo.errors",
    "ParentUnfinished": "aimlvideo.errors",
    "Problem": "aimlvideo.errors",
    "Refused": "aimlvideo.errors",
    "Rejected": "aimlvideo.errors",
    "Request": "aimlvideo.core.wires.http",
    "Result": "aimlvideo.core.jobs.result",
    "Run": "aimlvideo.pipeline.run",
    "ServiceError": "aimlvideo.errors",
    "SettingsError": "aimlvideo.errors",
    "Stage": "aimlvideo.core.jobs.stages",
    "Transport": "aimlvideo.core.wires.http",
    "Unavailable": "aimlvideo.errors",
    "Unclear": "aimlvideo.errors",
    "UnexpectedError": "aimlvideo.errors",
    "UploadFailed": "aimlvideo.errors",
    "UsageError": "aimlvideo.errors",
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
