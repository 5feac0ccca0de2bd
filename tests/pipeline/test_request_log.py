"""The service's log is read at the rate that it allows, and a question that is refused is asked a few times again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import anyio
import pytest

from aimlvideo.core.wires.base import RequestLog
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import Busy, Unavailable
from aimlvideo.pipeline.request_log import LogReader, TimedSender
from tests.cases import for_each
from tests.fakes import FakeClient, FakeService, answer

QUESTION = Request("GET", "/page")
A_SECOND = 2.0


@dataclass
class Service:
    """Refuses the first `refusals` questions as too many, and notes when it was asked."""

    refusals: int = 0
    away: bool = False
    retry_after: float | None = None
    asked_at: list[float] = field(default_factory=list)

    async def send(self, _: Request) -> Answer:
        self.asked_at.append(anyio.current_time())
        if self.away:
            raise Unavailable("nobody there")
        if len(self.asked_at) <= self.refusals:
            raise Busy("too many", retry_after=self.retry_after)
        return answer(200)


def reader_of(service: Service) -> LogReader:
    log = RequestLog(lambda *_: QUESTION, lambda _: [], lambda _: False, A_SECOND, longest_window=86_400.0)
    return LogReader(TimedSender(service.send, free_question=QUESTION), log)


@for_each("refusals", [0, 1, 3])
async def test_a_question_that_is_refused_as_one_too_many_is_asked_again_after_a_pause(refusals: int) -> None:
    service = Service(refusals)
    assert await reader_of(service).request(QUESTION, lambda told: told.status) == 200
    assert len(service.asked_at) == refusals + 1
    assert all(after - before >= 1 for before, after in zip(service.asked_at, service.asked_at[1:], strict=False))


async def test_a_log_that_says_how_long_it_is_busy_is_asked_nothing_until_then() -> None:
    service = Service(refusals=1, retry_after=40.0)
    reader = reader_of(service)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(reader.request, QUESTION, lambda told: told.status)
    refused_at, *later = service.asked_at
    assert len(later) == 3
    assert min(later) >= refused_at + 40


async def test_a_question_that_is_refused_every_time_is_given_up_after_four() -> None:
    service = Service(refusals=100)
    with pytest.raises(Busy):
        await reader_of(service).request(QUESTION, lambda told: told.status)
    assert len(service.asked_at) == 4


async def test_an_answer_that_repeats_the_link_to_an_uploaded_file_is_heard_without_its_signature() -> None:
    link = f"https://bucket.example.com/aimlvideo-1764000000-0123456789ab/{'0' * 32}.mp4"

    async def send(_: Request) -> Answer:
        return answer(400, {"message": f"cannot read {link}?X-Amz-Signature=secret"}, retry_after="7")

    heard = await TimedSender(send)(QUESTION)
    assert heard.json() == {"message": f"cannot read {link}"}
    assert (heard.status, heard.headers["retry-after"]) == (400, "7")


@pytest.mark.parametrize("workers", [1, 4])
async def test_workers_that_read_one_account_s_log_share_its_rate(workers: int) -> None:
    service = Service()
    readers = [reader_of(service) for _ in range(workers)]
    for reader in readers:
        reader.shared_by(workers)

    async def read(reader: LogReader) -> None:
        while True:
            await reader.request(QUESTION, lambda told: told.status)

    with anyio.move_on_after(200):
        async with anyio.create_task_group() as tasks:
            for reader in readers:
                tasks.start_soon(read, reader)
    assert 0.8 * A_SECOND < len(service.asked_at) / 200 < 1.2 * A_SECOND + 5 * workers / 200


async def test_the_time_is_asked_for_a_few_times_at_most_and_not_at_all_once_it_is_known() -> None:
    service = Service(away=True)
    sender = TimedSender(service.send, free_question=QUESTION)
    for _ in range(10):
        await sender.learn_clock()
    assert len(service.asked_at) == 4
    told = Service()

    async def dated(request: Request) -> Answer:
        await told.send(request)
        return answer(200, date="Thu, 26 Nov 2026 12:00:00 GMT")

    sender = TimedSender(dated, free_question=QUESTION)
    for _ in range(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(sender.learn_clock)
    assert len(told.asked_at) == 1


class FirstPageForEver(FakeService):
    """Takes no notice of which page is asked for."""

    def _log_page(self, request: Request) -> Answer:
        return super()._log_page(replace(request, query={**dict(request.query), "offset": "0"}))


@for_each(
    ("service", "thorough", "pages", "rows", "complete"),
    [
        (FakeService(strangers=3, page_rows=5), False, 1, 3, True),
        (FakeService(strangers=3, page_rows=2), False, 2, 3, True),
        (FakeService(strangers=3, page_rows=2), True, 3, 3, True),
        (FirstPageForEver(strangers=3, page_rows=2), False, 2, 2, False),
        (FirstPageForEver(strangers=3, page_rows=2), True, 2, 2, False),
    ],
)
async def test_a_log_is_read_to_the_end_that_it_names_and_beyond_before_anything_is_bought_for_want_of_a_row(
    service: FakeService, thorough: bool, pages: int, rows: int, complete: bool
) -> None:
    async with FakeClient(service) as client:
        await client.read_log()
        service.log_reads.clear()
        reading = await client.read_log(thorough=thorough)
    assert (len(service.log_reads), len(reading.rows), reading.complete) == (pages, rows, complete)
