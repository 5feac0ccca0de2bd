"""What is known of how long generations take: what was learned, else what is published, else what is documented."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.polling.policy import knowledge_key
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import Unavailable
from aimlvideo.pipeline.poll_policies import PollPolicies
from aimlvideo.settings import Settings
from aimlvideo.shell.state.learned_durations import LearnedDurations
from tests.fakes import JOB, MODEL

AFAR, HERE = "https://video.example.com", "http://127.0.0.1:1"
TIMED = VideoJob(**JOB)


def policies(base_url: str = AFAR, **settings: Any) -> PollPolicies:
    return PollPolicies(Settings(api_key="k", base_url=base_url, **settings), load_catalog)


@pytest.fixture
def learned() -> None:
    """Let an earlier run have learned of one model."""
    durations = LearnedDurations.load()
    durations.policy(knowledge_key(MODEL, TIMED.params)).observe(95.0, 105.0, done=True)
    durations.save()


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize(
    ("settings", "count"), [({}, 1), ({"poll": "every:15"}, 0), ({"base_url": HERE}, 0)], ids=["afar", "fixed", "here"]
)
def test_what_an_earlier_run_learned_is_read_only_where_it_counts(settings: dict[str, Any], count: int) -> None:
    assert len(policies(**settings).knowledge.keys()) == count


@pytest.mark.usefixtures("learned")
def test_one_ending_that_was_seen_counts_more_than_what_is_documented() -> None:
    durations = policies().expected(TIMED)
    assert durations is not None
    assert 80 < durations.p50 < 130
    assert durations.p50 <= durations.p90


def test_where_nothing_was_seen_what_is_documented_is_expected() -> None:
    durations = policies().expected(TIMED)
    assert durations is not None
    assert durations.p50 > 130


def test_of_a_model_that_nobody_timed_nothing_is_expected() -> None:
    catalog = load_catalog()
    untimed = next(model for model in catalog if not model.documented_seconds)
    assert policies().expected(VideoJob(untimed.id)) is None
    assert policies().expected(VideoJob("nobody/knows-it")) is None


def test_of_a_service_on_this_machine_nothing_is_expected_before_it_was_seen() -> None:
    assert policies(HERE).expected(TIMED) is None


async def test_a_service_that_does_not_tell_its_durations_fails_nothing() -> None:
    async def away(_: Request) -> Answer:
        raise Unavailable("nobody there")

    own = policies()
    before = own.expected(TIMED)
    await own.read_published(away)
    assert own.expected(TIMED) == before
