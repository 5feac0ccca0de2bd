"""One odd answer is one job's: whole runs in which one job after the other gets what no sound service gives."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage, VideoClient
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import UnexpectedError, VideoError
from aimlvideo.sandbox import Behaviour, Sandbox, hostility
from aimlvideo.shell.http.bodies import clean_headers
from tests.cases import one_in
from tests.fakes import JOB, FakeClient, FakeService, quick_downloads, run_all

DEEP = b"[" * 50_000 + b"]" * 50_000


def odd(body: Any = None, status: int = 200, **headers: str) -> Answer:
    """Return an answer with its headers as the transport leaves them."""
    raw = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
    return Answer(status, clean_headers({name.replace("_", "-"): value for name, value in headers.items()}), raw)


def with_link(link: Any) -> Answer:
    return odd({"id": "gen-9", "status": "completed", "video": {"url": link}, "data": [{"url": link}]})


SURPRISES: dict[str, Answer] = {
    "half a surrogate in a header": odd(status=201, x_inference_id="\udced\udca0\udcbd", x_request_id="\ud83d"),
    "half a surrogate everywhere": odd(
        {"id": "\ud83d", "status": "\ud83d", "message": "\ud83d", "video": {"url": "http://\ud83d/"}, "\ud83d": []}
    ),
    "a link with a label of 64 letters": with_link(f"http://{'a' * 64}.example/a.mp4"),
    "a link to no port": with_link("http://127.0.0.1:99999/"),
    "a link that is an object": with_link({"href": ["http://127.0.0.1:99999/"]}),
    "a redirect to no port": odd(b"", 302, location="http://127.0.0.1:99999/"),
    "brackets of 100 KB": odd(DEEP),
    "an empty body": odd(b""),
    "text that is no JSON": odd(b"\xff\xfe\x00 <html>\x1b[2J"),
    "null": odd(b"null"),
    "a list of null": odd([None, [None], {"data": None}]),
    "numbers without end": odd(
        b'{"id": 1e999, "status": NaN, "meta": {"usage": {"credits_used": 1' + b"0" * 4000 + b"}}}"
    ),
    "an endless whole number": odd(b'{"id": 1' + b"0" * 5000 + b', "status": "completed"}'),
    "objects for texts": odd(
        {"id": {"id": []}, "status": ["completed"], "error": [[]], "video": 7, "data": {"status": {}}, "code": {}}
    ),
    "a moment beyond the calendar": odd(
        {"id": "gen-9", "status": "failed", "created": 1e300, "error": {"message": {"name": 1}, "code": 10**30}},
    ),
    "an unknown status of HTTP": odd({"message": ["x"]}, 799, retry_after="\udcff"),
    "a wait of a thousand years": odd({"message": "later"}, 503, retry_after="1e400", date="Thu, 99 Foo"),
    "control characters": odd({"id": "\x1b]0;t\x07", "status": "\x00", "error": "\x1b[2J\r\n" * 300}, 400),
}
LISTS = {
    "rows that are none": odd({"data": [None, 1, "x", [], {}], "pagination": {"has_more": False}}),
    "pages that are none": odd({"data": [], "pagination": "yes"}),
    "ids of wrong types": odd(
        {"data": [{"client_request_id": {}, "inference_id": [], "status": 1, "cost": "x", "created": {}}] * 3}
    ),
}
FINE = ("fine0", "fine1")


@dataclass
class OddService(FakeService):
    """Gives odd answers about jobs whose prompt names a surprise, at one station, for as long as it is `hostile`."""

    station: str = "status"
    hostile: bool = True
    prompts: dict[str, str] = field(default_factory=dict)
    everything: Answer | None = None
    """An answer to every question of the station, whoever asks."""

    async def send(self, request: Request) -> Answer:
        if request.method == "POST" and self.station == "submit" and self.hostile:
            refusal = SURPRISES.get(request.body["prompt"])
            if refusal is not None and refusal.status in (302, 400, 503):  # which say that it was not accepted
                await anyio.sleep(0.01)  # after the first job was accepted
                return refusal
        sound = await super().send(request)
        if request.method == "POST":
            body = json.loads(sound.body) if sound.body else {}
            self.prompts[str(body.get("id"))] = request.body["prompt"]
            answer = self._odd("submit", request.body["prompt"], sound)
            return Answer(answer.status, answer.headers, answer.body.replace(b"gen-9", str(body.get("id")).encode()))
        query = dict(request.query)
        if "generation_id" in query:
            return self._odd("status", self.prompts.get(query["generation_id"], ""), sound)
        station = {"/v2/logs": "log", "/v2/billing": "balance", "/v1/models": "prices"}.get(request.path, "files")
        return self._odd(station, "", sound)

    def _odd(self, station: str, prompt: str, sound: Answer) -> Answer:
        if not self.hostile or station != self.station:
            return sound
        return self.everything or SURPRISES.get(prompt, sound)


def odd_jobs() -> list[dict[str, Any]]:
    """Return a job for each surprise, and two without: the first shows that the service is there."""
    odd_ones = [{**JOB, "id": f"odd{number}", "prompt": name} for number, name in enumerate(SURPRISES)]
    first, last = ({**JOB, "id": name, "prompt": name} for name in FINE)
    return [first, *odd_ones, last]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "real_time" not in request.keywords:
        quick_downloads(monkeypatch)


def surprised(results: dict[str, Any]) -> list[str]:
    return [f"{name}: {result.error}" for name, result in results.items() if isinstance(result.error, UnexpectedError)]


@pytest.mark.parametrize("station", ["submit", "status"])
async def test_an_odd_answer_about_one_job_is_that_jobs_and_a_later_run_saves_it(tmp_path: Path, station: str) -> None:
    service = OddService(seconds=20, station=station)
    settings = {"settle": 600.0, "timeout": 2400.0, "max_outstanding": 50}
    async with FakeClient(service, **settings) as client:
        first = await run_all(client, odd_jobs(), output=tmp_path)
    assert [first[name].stage for name in FINE] == [Stage.SAVED, Stage.SAVED]
    assert surprised(first) == []
    assert all(result.ok or isinstance(result.error, VideoError) for result in first.values())
    service.hostile = False
    async with FakeClient(service, **settings) as client, client.resume(tmp_path) as results:
        later = {result.job.id: result async for result in results}
    assert surprised(later) == []
    assert max(service.by_request.values()) == 1
    for result in {**first, **later}.values():
        assert result.stage in (Stage.SAVED, Stage.FAILED), result.error


@one_in(3, "name", [*SURPRISES, *LISTS])
@pytest.mark.parametrize("station", ["log", "balance", "prices"])
async def test_an_odd_page_of_the_account_ends_no_run_and_has_nothing_bought_twice(
    tmp_path: Path, station: str, name: str
) -> None:
    from aimlvideo.errors import Unclear

    service = OddService(seconds=20, station=station, everything={**SURPRISES, **LISTS}[name])
    service.lost.append(Unclear("reset"))
    jobs = [{**JOB, "id": name, "prompt": name} for name in FINE]
    async with FakeClient(service, settle=600.0, timeout=3000.0) as client:
        first = await run_all(client, jobs, output=tmp_path)
        assert surprised(first) == []
        assert first["fine1"].stage is Stage.SAVED
        assert len(service.posted_at) == 2, "an odd page of the log proves nothing"
        service.hostile = False
        async with client.resume(tmp_path) as results:
            later = {result.job.id: result async for result in results}
    assert {result.stage for result in {**first, **later}.values()} == {Stage.SAVED}
    assert len(service.posted_at) == 2


@pytest.mark.parametrize("row", [None, "x", {}, {"client_request_id": {}}, {"client_request_id": "a\ud83d"}])
async def test_a_row_of_the_log_that_cannot_be_read_may_be_the_lost_one(tmp_path: Path, row: Any) -> None:
    from aimlvideo.errors import Unclear

    class OddRows(FakeService):
        def _row(self, logged: Any, at: float) -> Any:
            sound = super()._row(logged, at)
            if logged.generation_id != "gen-0":
                return sound
            return {**sound, **row} if isinstance(row, dict) and row else row

        def _log_page(self, request: Request) -> Answer:
            try:
                return super()._log_page(request)
            except TypeError:  # a row that is no object has no moment to be listed by
                rows = [self._row(one, one.accepted_at) for one in self.log]
                return odd({"data": rows, "pagination": {"has_more": False}})

    service = OddRows(seconds=20)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service, settle=600.0) as client:
        results = await run_all(client, [{**JOB, "id": name, "prompt": name} for name in FINE], output=tmp_path)
    assert results["fine1"].stage is Stage.SAVED
    assert results["fine0"].stage is Stage.IN_DOUBT
    assert len(service.posted_at) == 2


# Real sockets: redirects of a clip's link, and everything that the sandbox knows -------------------------------------


@pytest.mark.real_time
@pytest.mark.long
@pytest.mark.parametrize("place", ["http://127.0.0.1:99999/", f"http://{'a' * 64}.invalid/", "http://[::1", "\x7f"])
async def test_a_clip_s_redirect_to_no_address_ends_that_job_and_a_later_run_saves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    from aimlvideo.pipeline import download

    monkeypatch.setattr(download, "LINK_WAITS", (0.0, 0.0))
    monkeypatch.setattr(hostility, "ODD_REDIRECTS", (place,))
    jobs = [{**JOB, "id": f"job{number}"} for number in range(2)]
    async with Sandbox(Behaviour(seconds=0.05, video="tiny", odd_redirects=1.0)) as sandbox:
        async with VideoClient("key", sandbox.url, poll="every:0.05", rate=100.0) as client:
            first = await run_all(client, jobs, output=tmp_path)
            assert surprised(first) == []
            assert all(isinstance(result.error, VideoError) for result in first.values())
            sandbox.set(odd_redirects=0.0)
            later = await run_all(client, jobs, output=tmp_path)
            assert {result.stage for result in {**first, **later}.values()} <= {Stage.SAVED, Stage.FAILED}
        assert sandbox.stats()["accepted"] == 2


@pytest.mark.parametrize(("name", "journal"), [("duration", False), ("duration", True), ("seed", True)])
async def test_a_number_with_more_digits_than_python_writes_is_its_own_job_s(
    tmp_path: Path, name: str, journal: bool
) -> None:
    odd_job = {**JOB, "id": "odd", name: 10**5000}
    async with FakeClient(FakeService(seconds=5), journal=tmp_path / "j.sqlite3" if journal else None) as client:
        results = await run_all(client, [odd_job, {**JOB, "id": "sound"}])
    assert results["sound"].ok
    assert isinstance(results["odd"].error, VideoError)
    assert not isinstance(results["odd"].error, UnexpectedError)
