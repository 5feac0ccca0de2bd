"""Many clips: as they end, failures as values, carried on after a crash.

AIMLAPI_API_KEY=... python examples/many_clips.py clips/
"""

import asyncio
import sys
from collections.abc import Iterator

from aimlvideo import VideoClient, VideoJob

MODEL = "kling-video/v1.6/pro/image-to-video"
PLACES = ["a beach", "a forest", "a harbour", "a market", "a mountain pass"]


def jobs() -> Iterator[VideoJob]:
    """Read as there is room for them: this may be a database cursor, or a million lines."""
    for place in PLACES:
        yield VideoJob(MODEL, prompt=f"Morning at {place}", image_url="https://example.com/start.jpg")


async def main(folder: str) -> None:
    async with VideoClient(max_outstanding=50) as client, client.run(jobs(), output=folder) as results:
        async for result in results:
            print(result.job.params["prompt"], "->", result.path or result.error)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
