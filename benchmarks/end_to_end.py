"""Does the real client do what the simulated policy does? `python -m benchmarks.end_to_end [--jobs N] [--scale S]`.

The client learns from nothing against the embedded sandbox, whose times are scaled down; the simulation is given the
very durations that the sandbox drew. Printed: polls a job and mean lag of both, and their ratio (to be within 10 %; at
a small scale the client's own steps of 1/32 s, and a busy machine, count for more: 20 times at 0.05).
"""

from __future__ import annotations

import argparse
import asyncio
from unittest.mock import patch

import numpy as np

from aimlvideo import VideoClient, client
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.polling.policy import LearnedPolls, PollPolicy
from aimlvideo.pipeline import poll_scheduler
from aimlvideo.pipeline.poll_policies import PollPolicies
from aimlvideo.sandbox import Behaviour, Sandbox
from benchmarks.simulation import simulate

MODEL = "kling-video/v1.6/pro/image-to-video"
BODY = {"model": MODEL, "prompt": "waves", "image_url": "https://example.com/a.png"}
LAW = "lognormal:127,0.35"
MOST = 0.10


class Scaled:
    """A policy whose seconds are shorter than those of the clock on the wall."""

    def __init__(self, policy: PollPolicy, scale: float) -> None:
        self._policy, self._scale = policy, scale

    @property
    def price(self) -> float:
        """The price of a poll, in the policy's own seconds."""
        return self._policy.price

    @price.setter
    def price(self, price: float) -> None:
        self._policy.price = price

    def next_poll(self, last: float) -> float:
        """Return the age at which to ask."""
        return self._scale * self._policy.next_poll(last / self._scale)

    def observe(self, lo: float, hi: float, done: bool) -> None:
        """Learn."""
        self._policy.observe(lo / self._scale, hi / self._scale, done)

    def quantile(self, p: float) -> float:
        """Return the age by which the share `p` has ended."""
        return self._scale * self._policy.quantile(p)

    def queued_gap(self) -> float:
        """Return the gap while a generation is queued."""
        return self._scale * self._policy.queued_gap()


async def real(jobs: int, at_once: int, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return polls, lags and durations of each job, in the order of acceptance and in unscaled seconds."""
    policy = Scaled(LearnedPolls(), scale)

    class OnePolicy(PollPolicies):
        def policy_for(self, job: VideoJob) -> PollPolicy:
            return policy

    behaviour = Behaviour(seed=5, seconds=LAW, time_scale=scale, queued_share=0.0, video="tiny")
    scaled = patch.object(poll_scheduler, "REVIEW_INTERVAL", poll_scheduler.REVIEW_INTERVAL * scale)
    async with Sandbox(behaviour, port=0) as sandbox:
        limits = {"max_outstanding": at_once, "rate": 1000.0, "poll_rate": 1000.0}
        with patch.object(client, "PollPolicies", OnePolicy), scaled:
            async with VideoClient("key", sandbox.url, **limits) as ours:
                many = [{"id": f"job{number}", **BODY} for number in range(jobs)]
                async with ours.run(many) as results:
                    seen = {result.generation_id: result async for result in results}
        took = sandbox._world.generations
    polls = np.array([seen[one.id].polls for one in took], float)
    lags = [seen[one.id].completed_at.timestamp() - one.created - one.fate.seconds for one in took]
    return polls, np.array(lags) / scale, np.array([one.fate.seconds for one in took]) / scale


def main() -> int:
    """Return 0 if both figures are within 10 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=240)
    parser.add_argument("--at-once", type=int, default=40)
    parser.add_argument("--scale", type=float, default=0.05)
    told = parser.parse_args()
    polls, lags, times = asyncio.run(real(told.jobs, told.at_once, told.scale))
    simulated = simulate(LearnedPolls(), times, told.at_once)
    print(f"{told.jobs} jobs of {LAW}, {told.at_once} at once, times scaled by {told.scale:g}")
    missed = 0
    for what, ours, theirs in (("polls a job", polls, simulated.polls), ("mean lag, s", lags, simulated.lags)):
        ratio = ours.mean() / theirs.mean()
        missed += int(abs(ratio - 1) > MOST)
        print(f"  {what:<12} real {ours.mean():6.2f}   simulated {theirs.mean():6.2f}   ratio {ratio:5.3f}")
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
