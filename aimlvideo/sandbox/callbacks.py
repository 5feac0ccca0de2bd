"""Callbacks: each change of a task's status is POSTed to the page that the caller named."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64decode, b64encode
from hashlib import sha256
from heapq import heappop, heappush
from ipaddress import ip_address
from time import monotonic

import aiohttp
import anyio
from yarl import URL

from aimlvideo.sandbox.generation import Generation, Phase
from aimlvideo.sandbox.hostility import is_hostile, odd_text
from aimlvideo.sandbox.kling_json import as_callback
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.state import World

PATIENCE = 5.0
"""Seconds that a page has to answer."""

_LOOK_AGAIN = 0.05


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` of a body: the Standard Webhooks scheme, version 1.

    `secret` is `whsec_` and Base64; what is signed is `id.timestamp.body`.
    """
    key = b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.digest(key, signed, sha256)).decode()


class CallbackSender:
    """Knows which tasks are followed, and calls when one changes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rounds: list[tuple[float, int, Phase, str]] = []
        self._news = anyio.Event()

    def follow(self, generation: Generation, host: str) -> None:
        """Call the generation's page, if it named one, now and at each change."""
        url = generation.callback_url
        if not url:
            return
        # A test with a callback URL of the real world must not make this machine call it.
        if not is_here(url):
            self._world.tally.callbacks["not on this machine"] += 1
            return
        moments: list[tuple[float, Phase]] = [
            (generation.accepted_at, "queued"),
            (generation.queued_until, "generating"),
            (generation.due, "completed"),
        ]
        for moment, phase in moments:
            heappush(self._rounds, (moment, generation.number, phase, host))
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(timeout=timeout) as session, anyio.create_task_group() as tasks:
            while True:
                self._news = anyio.Event()
                with anyio.move_on_after(self._rounds[0][0] - monotonic() if self._rounds else None):
                    await self._news.wait()
                for generation, phase, host in self._due(monotonic()):
                    tasks.start_soon(self._deliver, session, generation, phase, host)

    def _due(self, now: float) -> list[tuple[Generation, Phase, str]]:
        self._world.settle(now)
        due: list[tuple[Generation, Phase, str]] = []
        while self._rounds and self._rounds[0][0] <= now:
            _, number, phase, host = heappop(self._rounds)
            generation = self._world.generations[number]
            # Its clip is late: the call waits for it, as the service's would.
            if phase == "completed" and generation.ended_at is None:
                heappush(self._rounds, (now + _LOOK_AGAIN, number, phase, host))
            else:
                due.append((generation, generation.phase(now) if phase == "completed" else phase, host))
        return due

    async def _deliver(self, session: aiohttp.ClientSession, generation: Generation, phase: Phase, host: str) -> None:
        behaviour = self._world.behaviour
        body = json.dumps(as_callback(behaviour, generation, phase, host)).encode()
        if is_hostile(behaviour, "callbacks"):
            body = odd_text(behaviour, Dice(behaviour.seed, f"callback {generation.id} {phase}"), "callbacks", body)
        headers = {"Content-Type": "application/json"}
        if behaviour.webhook_secret:
            message_id, now = Dice(behaviour.seed, generation.id).letters(phase, 24), int(time.time())
            signature = sign(behaviour.webhook_secret, message_id, now, body)
            headers |= {"webhook-id": message_id, "webhook-timestamp": str(now), "webhook-signature": signature}
        try:
            async with session.post(generation.callback_url or "", data=body, headers=headers) as answer:
                self._world.tally.callbacks["taken" if answer.ok else "refused"] += 1
        except (aiohttp.ClientError, TimeoutError):
            self._world.tally.callbacks["failed"] += 1


def is_here(url: str) -> bool:
    """Tell whether a page is on this machine: the sandbox calls no other."""
    try:
        host = URL(url).host or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
