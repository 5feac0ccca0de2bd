"""A sandbox in a process of its own, in fast time, that takes its settings line by line.

Each line of standard input is a JSON object: `{"set": {...}}` changes how it behaves, `{"list": true}` has it print one
line with all that it has accepted. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from tests.hostile import fast_time

if __name__ == "__main__":  # before a clock is imported by name
    started_with = json.loads(os.environ["HOSTILE"])
    fast_time.install(started_with["speed"], started_with["origin"])

from aimlvideo.sandbox import Behaviour, Sandbox


async def serve() -> None:
    """Serve until standard input ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with Sandbox(Behaviour(video="tiny", balance=1e9)) as sandbox:
        _say({"url": sandbox.url})
        async for line in lines:
            order = json.loads(line)
            if "set" in order:
                settings = {name: tuple(v) if isinstance(v, list) else v for name, v in order["set"].items()}
                sandbox.behaviour = Behaviour(**{"video": "tiny", "balance": 1e9, **settings})
                _say({})
            else:
                _say(_accepted(sandbox))


def _accepted(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.stats()
    world = sandbox._world
    generations = [
        {
            "id": one.id,
            "request_id": one.client_request_id or one.external_task_id,
            "ended": one.ended_at is not None,
            "billed": one.completed,
        }
        for one in world.generations
    ]
    return {"generations": generations, "stats": sandbox.stats()}


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
