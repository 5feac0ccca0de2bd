"""A client for others' parameters reads no file of this machine, however one is named; its own frames it does send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aimlvideo import InvalidJobs, SettingsError, VideoError
from aimlvideo.settings import Settings
from tests.fakes import JOB, FakeClient, FakeService, run_all

PICTURE = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR\0\0\2\0\0\0\2\0" + bytes(20)


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.png"
    path.write_bytes(PICTURE)
    return path


@pytest.mark.parametrize("spelled", ["a.png", "./a.png", "{}", "~/../a.png", "a.png ", "/etc/passwd", "file://{}"])
async def test_no_text_of_a_caller_names_a_file_of_this_machine(picture: Path, spelled: str) -> None:
    service = FakeService()
    async with FakeClient(service, local_files=False) as client:
        with pytest.raises(VideoError) as caught:
            await client.submit(**{**JOB, "image_url": spelled.format(picture)})
    assert not service.bodies
    assert "expected" in str(caught.value)


@pytest.mark.parametrize("value", [Path("a.png"), ["https://example.com/b.png", Path("a.png")]])
async def test_a_path_is_refused_before_it_is_planned(picture: Path, value: Any) -> None:
    async with FakeClient(FakeService(), local_files=False) as client:
        with pytest.raises(InvalidJobs, match="local_files=False"):
            await client.submit(**{**JOB, "image_url": value})


async def test_links_and_contents_go_as_ever_and_without_the_switch_files_too(picture: Path) -> None:
    service = FakeService()
    async with FakeClient(service, local_files=False) as client:
        results = await run_all(client, [{**JOB, "id": "link"}, {**JOB, "id": "content", "image_url": PICTURE}])
    assert all(result.ok for result in results.values())
    async with FakeClient(service) as client:
        assert (await client.generate(**{**JOB, "image_url": "a.png"})).ok
    assert len(service.bodies) == 3


def test_local_files_is_a_setting() -> None:
    assert Settings(api_key="k", base_url="https://a.example").local_files
    with pytest.raises(SettingsError, match="local_files is 'no': expected True or False"):
        Settings(api_key="k", base_url="https://a.example", local_files="no")  # type: ignore[arg-type]
