"""Fixtures for applications' own tests: the sandbox as their service, without a key, a network or a bill.

    def test_a_clip_is_offered_for_download(aimlvideo_sandbox, client):
        assert client.post("/clips", json={"prompt": "Waves"}).status_code == 202

    def test_a_lost_answer_is_no_second_clip(aimlvideo_sandbox, client):
        aimlvideo_sandbox.set(dropped=1.0)
        ...

The environment names it for the time of the test: `VideoClient()` finds it by itself. Clips take 50 ms and are tiny
real MP4 files; every setting of `aimlvideo.sandbox.Behaviour` can be changed by name at any moment. pytest loads this
module wherever aimlvideo is installed, so it imports the sandbox only for a test that asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aimlvideo.sandbox import Sandbox

FAST: dict[str, Any] = {"seconds": 0.05, "queued_share": 0.0, "video": "tiny"}


@pytest.fixture(scope="session")
def _aimlvideo_sandbox() -> Iterator[Sandbox]:
    sandbox = pytest.importorskip("aimlvideo.sandbox", reason="needs pip install 'aimlvideo[sandbox]'")
    with sandbox.sandbox_in_thread(sandbox.Behaviour(**FAST)) as served:
        yield served


@pytest.fixture
def aimlvideo_sandbox(_aimlvideo_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Give the sandbox of this test session, behaving well; `set(NAME=VALUE)` changes how, until the test ends."""
    behaviour = _aimlvideo_sandbox.behaviour
    from aimlvideo.core.services import SERVICE_NAMES, service_of  # noqa: PLC0415 - not at pytest's start

    for service in map(service_of, SERVICE_NAMES):
        monkeypatch.setenv(service.base_url_variable, _aimlvideo_sandbox.url)
        for variable in (name for names in service.key_variables for name in names):
            monkeypatch.setenv(variable, "sandbox")
    yield _aimlvideo_sandbox
    _aimlvideo_sandbox.behaviour = behaviour
