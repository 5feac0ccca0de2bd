"""The client of a worker: what a single process decides by itself is decided in the database."""

from __future__ import annotations

from aimlvideo.client import VideoClient
from aimlvideo.distributed.fleet_client import FleetClient


def test_each_step_that_a_worker_takes_in_its_own_way_is_one_that_the_client_takes() -> None:
    own = [name for name, what in vars(FleetClient).items() if name[0] == "_" != name[1] and callable(what)]
    assert len(own) >= 5
    assert [name for name in own if not hasattr(VideoClient, name)] == []
