"""One clip: submitted, waited for, saved.

AIMLAPI_API_KEY=... python examples/one_clip.py clip.mp4
"""

import asyncio
import sys

from aimlvideo import VideoClient


async def main(path: str) -> None:
    async with VideoClient() as client:
        video = await client.generate(
            "kling-video/v1.6/pro/image-to-video",
            prompt="The waves roll in, the camera rises",
            image_url="https://example.com/beach.jpg",
            duration=5,
        )
        await video.save(path)
        print(f"{path}: {video.cost_usd} USD, asked {video.polls} times")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
