"""The client's constructor: every setting has a name and a type; what cannot be right is refused in a line."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from aimlvideo import SettingsError, VideoClient
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.validation import SETTINGS
from aimlvideo.core.limits import ConcurrencyLimit, PollBudget, RateLimiter
from aimlvideo.pipeline.limiters import Limiters, RateGate, SlotLimiter
from aimlvideo.settings import Settings
from aimlvideo.shell.journal.memory import InMemoryJournal
from aimlvideo.shell.task_groups import task_group
from tests.cases import for_each
from tests.fakes import JOB, FakeClient, FakeService

NOT_IN_SETTINGS = {"self", "transport", "limiters", "unknown"}


def test_every_setting_is_an_argument_with_its_type_and_its_default() -> None:
    arguments = inspect.signature(VideoClient.__init__).parameters
    settings = {field.name: field.default for field in fields(Settings)}
    assert arguments.keys() - NOT_IN_SETTINGS == settings.keys()
    for name, default in settings.items():
        assert arguments[name].annotation != inspect.Parameter.empty
        assert arguments[name].default == default or name in ("api_key", "base_url"), name


@for_each(
    ("misspelt", "nearest"),
    [
        ("max_outstandig", "max_outstanding"),
        ("polling_rate", "poll_rate"),
        ("Timeout", "timeout"),
        ("apikey", "api_key"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest_name(misspelt: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=f"there is no setting '{misspelt}': did you mean {nearest}"):
        VideoClient("key", **{misspelt: 1})  # type: ignore[arg-type]


def test_a_setting_like_no_other_is_refused_with_all_there_are() -> None:
    with pytest.raises(SettingsError, match=r"there is no setting .zzz.: expected one of api_key, .*limiters$"):
        VideoClient("key", zzz=1)  # type: ignore[arg-type]


@for_each(
    ("name", "takers"),
    [("output", "`run(..., output=...)` and `generate(..., output=...)`"), ("max_spend", "`run(..., max_spend=...)`")],
)
def test_an_argument_of_a_call_that_is_given_to_the_client_is_sent_there(name: str, takers: str) -> None:
    with pytest.raises(SettingsError, match="an argument of its calls") as refused:
        VideoClient("key", **{name: 1})  # type: ignore[arg-type]
    assert takers in str(refused.value)


@for_each(
    ("name", "value"),
    [
        ("api_key", 5),
        ("api_key", b"key"),
        ("base_url", 5),
        ("service", None),
        ("service", ["aimlapi"]),
        ("legacy", "no"),
        ("journal", 5),
        ("journal", object()),
        ("journal", "."),
        ("journal", "a/.."),
        ("knowledge", Path()),
        ("max_outstanding", "20"),
        ("max_outstanding", 2.5),
        ("max_outstanding", float("inf")),
        ("max_outstanding", True),
        ("rate", "5"),
        ("rate", None),
        ("rate", float("nan")),
        ("poll", 15),
        ("poll", None),
        ("poll_rate", [50]),
        ("timeout", "1 h"),
        ("timeout", None),
        ("settle", "600"),
        ("strict", 1),
        ("metadata", None),
        ("callback", "127.0.0.1:80"),
        ("callback", ("127.0.0.1", "80")),
        ("callback", ("127.0.0.1", 70000)),
        ("callback", ("127.0.0.1",)),
        ("callback", ("127.0.0.1", 80)),
        ("callback_url", 5),
        ("callback_secret", b"whsec_c2VjcmV0"),
        ("knowledge", 5),
        ("transport", 5),
    ],
)
def test_a_setting_of_a_wrong_type_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match="(?i)" + name.replace("_", "[_ ]")) as refused:
        VideoClient(**{"api_key": "key", name: value})
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize(("name", "value"), [("api_key", 123456), ("callback_secret", 123456)])
def test_a_secret_of_a_wrong_type_is_not_shown(name: str, value: Any) -> None:
    with pytest.raises(SettingsError) as refused:
        VideoClient(**{"api_key": "key", name: value})
    assert "123456" not in str(refused.value)


@pytest.mark.parametrize("path", ["out/journal", Path("out/journal")])
def test_a_path_may_be_a_text(path: Any) -> None:
    VideoClient("key", journal=path, knowledge=path)


async def test_two_clients_of_one_account_share_its_slots() -> None:
    service = FakeService(seconds=100)
    slots = SlotLimiter(ConcurrencyLimit(3))
    limiters = Limiters(slots, RateGate(RateLimiter(1000.0)), PollBudget(RateLimiter(50.0)))
    journal = InMemoryJournal()

    def jobs(name: str) -> list[dict[str, Any]]:
        return [{**JOB, "id": f"{name}{number}"} for number in range(5)]

    async def work(name: str) -> None:
        async with FakeClient(service, limiters=limiters, journal=journal) as client, client.run(jobs(name)) as results:
            assert [result.stage async for result in results] == ["ready"] * 5

    async with task_group(wait=True) as tasks:
        for name in "ab":
            tasks.start_soon(work, name)
    assert service.peak == 3
    assert len(service.accepted) == 10


def test_a_setting_beside_the_parameters_of_a_job_is_named_as_one() -> None:
    parameters = {name for model in load_catalog() for name in model.params}
    assert {field.name for field in fields(Settings)} - SETTINGS <= parameters | {"unknown"}
    assert not SETTINGS & parameters
