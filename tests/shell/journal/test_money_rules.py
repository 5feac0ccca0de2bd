"""One set of money rules: what a single process counts, and decides, is what the database counts and decides."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import OUTSTANDING, Stage
from aimlvideo.core.money.budget import Budget, Spending, Standing, Verdict
from aimlvideo.errors import GenerationFailed, LinkDead
from aimlvideo.shell.journal import postgres
from aimlvideo.shell.journal.postgres import SEE_PRICE, PostgresJournal, open_postgres_journal
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.cases import for_each

pytestmark = pytest.mark.real_time

SENT = Progress().to(Stage.SUBMITTING, request_id="av-1", submitted_at=1.0)
RENDERING = SENT.to(Stage.RENDERING, generation_id="g")
READY = RENDERING.to(Stage.READY, video_url="https://example.com/a")
LIFE: dict[str, tuple[Progress, ...]] = {
    "planned": (),
    "submitting": (SENT,),
    "in doubt": (SENT, SENT.to(Stage.IN_DOUBT)),
    "rendering": (SENT, RENDERING),
    "ready": (SENT, RENDERING, READY),
    "saved": (SENT, RENDERING, READY, READY.to(Stage.SAVED, file="a.mp4")),
    "failed": (SENT, RENDERING, RENDERING.to(Stage.FAILED, error=GenerationFailed("no"))),
    "could not be fetched": (SENT, RENDERING, READY, READY.to(Stage.FAILED, error=LinkDead("gone"))),
    "planned again": (SENT, SENT.to(Stage.PLANNED)),
}
CHARGED = {"ready", "saved", "failed", "could not be fetched"}
PRICES = {"m": 0.25, "n": 0.5}


def a_life(chance: random.Random, price: float | None, model: str, names: Sequence[str]) -> tuple[Progress, ...]:
    """Return the steps of one job; its cost may be said in the end, and a failed one may be tried again."""
    name = chance.choice(names)
    steps = LIFE[name]
    if name in CHARGED and chance.random() < 0.5:
        steps = (*steps[:-1], steps[-1]._replace(cost_usd=PRICES[model]))
    # Where no price is known, the database knows one more: what the first generation was charged.
    may_be_retried = bool(steps) and (price is not None or steps[-1].cost_usd is None)
    if may_be_retried and steps[-1].stage is Stage.FAILED and chance.random() < 0.5:
        again = Progress().to(Stage.SUBMITTING, request_id="av-2").to(Stage.RENDERING, generation_id="g2")
        steps = (*steps, Progress(), again)
    return steps


async def test_the_database_counts_and_decides_as_a_single_process_does(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "GATHER", 0.0)
    chance, seen = random.Random(int(os.environ.get("PROMISE_SEED", "5"))), set[Verdict]()
    async with open_postgres_journal(dsn, "w") as journal:
        for _ in range(max(40, int(os.environ.get("PROMISE_ROUNDS", "40")))):
            journal.db.execute("TRUNCATE aimlvideo_model_prices")
            journal.db.execute("DELETE FROM aimlvideo_jobs")
            journal.db.execute("DELETE FROM aimlvideo_attempts")
            journal.db.execute("UPDATE aimlvideo_account SET spent = 0, max_spend = NULL")
            journal._seen_prices.clear()
            journal.begin()
            seen.add(await one_case(journal, chance))
    assert seen == set(Verdict)


async def one_case(journal: PostgresJournal, chance: random.Random) -> Verdict:
    """Return what both decide about one more job, after both have counted the same jobs."""
    prices: dict[str, float | None] = {}
    jobs = [VideoJob(chance.choice("mmn"), id=f"job{number}") for number in range(chance.randrange(6))]
    new = VideoJob(chance.choice("mn"), id="new")
    for job in (*jobs, new):
        prices[job.id] = chance.choice((None, PRICES[job.model]))

    def price(job: VideoJob) -> float | None:
        return prices[job.id]

    journal.price_of = price
    for job in (*jobs, new):
        journal.plan(job)
    await journal.take(prices)
    all_are_left = chance.random() < 0.3
    names = ["in doubt"] if all_are_left else list(LIFE)
    for job in jobs:
        for progress in a_life(chance, prices[job.id], job.model, names):
            # Of one generation, as of one that was mixed up, only the first job has it in the database.
            own = progress.generation_id and f"{job.id}-{progress.generation_id}"
            journal.step(job, progress._replace(generation_id=own))
            if progress.stage is Stage.SUBMITTING or chance.random() < 0.7:
                await journal.synced()
    await journal.synced()
    records = [record for job in jobs if (record := journal.find(job.id)) is not None]
    doubted = [job.id for job, progress in records if progress.stage is Stage.IN_DOUBT]
    left = [name for name in doubted if all_are_left or chance.random() < 0.5]
    await journal.leave_in_doubt(left)

    limit = chance.choice((None, 0.5, 0.75, 1.0, 3.0))
    spending = Spending()
    spending.count(records, price, spent=journal.spent())
    budget = Budget(limit, spending)
    followed = [job.id for job, progress in records if progress.stage in OUTSTANDING and job.id not in left]
    standing = budget.standing(followed)
    account = journal.account()
    counted = Standing(
        account["spent"] + account["assumed"], account["committed"], account["settling"], account["outstanding"] > 0,
        account["unpriced"] > 0,
    )  # fmt: skip
    assert rounded(counted) == rounded(standing), records
    assert account["spent"] == pytest.approx(journal.spent())

    journal.db.execute("UPDATE aimlvideo_account SET max_spend = %s, max_outstanding = 100, room = 100", (limit,))
    if prices["new"] is not None:
        journal.db.execute(SEE_PRICE, (new.model, prices["new"]))
    admit = "SELECT verdict FROM aimlvideo_admit(%s, %s, 'w')"
    row = journal.db.execute(admit, (["new"], [prices["new"]])).fetchone()
    decided = budget.verdict(prices["new"], followed, model=new.model)
    assert row == (decided.value,), (limit, standing, prices["new"])
    return decided


def test_what_rounding_leaves_of_nothing_is_said_without_a_sign() -> None:
    said = Verdict.OVER_BUDGET.refusal(3.0, 0.37, Standing(3.33, -1e-16))
    assert said == "the next job (0.37 USD) would pass the limit of 3.00 USD: 3.33 spent, 0.00 committed"


def rounded(standing: Standing) -> Standing:
    """Return a standing without the last digits of its sums."""
    money = (round(one, 6) for one in (standing.spent, standing.committed, standing.settling))
    return Standing(*money, standing.under_way, standing.has_unknown)


@for_each(
    ("price", "standing", "expected"),
    [
        (9.0, Standing(), Verdict.OVER_BUDGET),
        (0.5, Standing(0.5), Verdict.ADMITTED),
        (None, Standing(), Verdict.UNPRICED),
        (0.6, Standing(0.25, 0.25, 0.25, under_way=True), Verdict.WAIT),
        (0.75, Standing(0.25, 0.25, 0.25, under_way=True), Verdict.WAIT),
        (0.6, Standing(0.25, 0.25), Verdict.OVER_BUDGET),
        (0.8, Standing(0.25, 0.25, 0.25, under_way=True), Verdict.OVER_BUDGET),
        (0.1, Standing(has_unknown=True), Verdict.UNKNOWN),
        (0.1, Standing(under_way=True, has_unknown=True), Verdict.WAIT),
    ],
)
def test_a_limit_refuses_waits_or_ends(price: float | None, standing: Standing, expected: Verdict) -> None:
    assert standing.verdict(1.0, price) is expected
    assert standing.verdict(None, price) is Verdict.ADMITTED
    if expected not in (Verdict.ADMITTED, Verdict.WAIT):
        assert "the limit of 1.00 USD" in expected.refusal(1.0, price, standing)


async def test_what_was_bought_when_nobody_knew_its_price_is_priced_later(dsn: str) -> None:
    async with open_postgres_journal(dsn, "w") as journal:
        job = journal.plan(VideoJob("m", id="a")).job
        await journal.take(["a"])
        journal.step(job, SENT)
        await journal.synced()
        assert journal.unpriced() == 1
        journal.price_of = lambda job: 0.25
        await journal.price_what_was_bought()
        assert journal.unpriced() == 0
        assert journal.account()["committed"] == 0.25


async def test_what_a_person_settles_counts_as_it_would_have_by_itself(dsn: str) -> None:
    async with open_postgres_journal(dsn, "w") as journal:
        journal.price_of = lambda job: 0.25
        job = journal.plan(VideoJob("m", id="a")).job
        await journal.take(["a"])
        doubt = SENT.to(Stage.IN_DOUBT)
        for progress in (SENT, doubt):
            journal.step(job, progress)
            await journal.synced()
        for progress, committed in ((doubt.to(Stage.RENDERING, generation_id="g"), 0.25), (Progress(), 0.0)):
            record = journal.find("a")
            assert record is not None
            assert journal.settle(record, progress)
            assert journal.account()["committed"] == committed


def test_only_the_new_jobs_of_a_file_are_counted_priced_and_queued(dsn: str) -> None:
    new_jobs: list[tuple[int, float | None, int, list[str]]] = []

    def plan(**prices: float | None) -> None:
        with journal.planning(lambda new: new_jobs.append((new.count, new.dollars, new.unpriced, list(new.ids)))):
            for name, price in prices.items():
                journal.plan(VideoJob("m", id=name), price=price)

    with open_sync_journal(dsn) as journal:
        plan(a=0.25)
        journal.begin()
        plan(b=0.5, a=0.25, c=None)
    assert new_jobs == [(1, 0.25, 0, ["a"]), (2, 0.5, 1, ["b", "c"])]


async def test_of_intents_written_together_as_many_are_admitted_as_there_are_places(dsn: str) -> None:
    refused: list[str] = []
    async with open_postgres_journal(dsn, "w") as journal:
        journal.db.execute("UPDATE aimlvideo_account SET max_outstanding = 2, room = 2")
        journal.refused = lambda job_id, _: refused.append(job_id)
        jobs = [VideoJob("m", id=f"job{number}") for number in range(5)]
        for job in jobs:
            journal.plan(job)
        await journal.take([job.id for job in jobs])
        for job in jobs:
            journal.step(job, SENT)
        await journal.synced()
        assert journal.account()["outstanding"] == 2
    assert refused == ["job2", "job3", "job4"]
