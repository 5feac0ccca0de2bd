"""What a run really cost, and everything that does not match."""

from __future__ import annotations

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Attempt, Progress, Record
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.account import Charge, LogRow
from aimlvideo.core.money.reconcile import reconcile
from aimlvideo.errors import GenerationFailed, Rejected
from tests.cases import for_each


def record(name: str, stage: Stage = Stage.SAVED, cost: float | None = 0.2, **more: object) -> Record:
    return Record(VideoJob("m", id=name), Progress(stage, generation_id=f"gen-{name}", cost_usd=cost)._replace(**more))


def charge(name: str | None, usd: float = 0.2, kind: str = "MODEL_USAGE") -> Charge:
    return Charge(name and f"gen-{name}", usd, kind, 0.0)


def test_what_matches_is_a_bill_and_no_finding() -> None:
    told = reconcile([record("a"), record("b", cost=None)], [charge("b", 0.3), charge("a")])
    bills = [(bill.job, bill.generation_id, bill.charged, bill.noted) for bill in told.bills]
    assert bills == [("a", "gen-a", 0.2, 0.2), ("b", "gen-b", 0.3, None)]
    assert told.findings == ()
    assert told.total == pytest.approx(0.5)


def test_a_job_that_was_never_submitted_and_a_deposit_are_no_business_of_it() -> None:
    planned = Record(VideoJob("m", id="p"), Progress())
    assert reconcile([planned], [charge(None, 100, "DEPOSIT")]).bills == ()


def paid(name: str, noted: float | None, stage: Stage = Stage.SAVED, **more: object) -> Record:
    return record(name, stage, None, cost_units=noted, **more)


def units(name: str, amount: float) -> Charge:
    return Charge(f"gen-{name}", 0.0, "MODEL_USAGE", 0.0, amount)


def test_what_was_paid_out_of_packs_is_compared_in_units_also_where_one_pack_ended_in_between() -> None:
    records = [paid("a", 2.4), paid("b", 1.0), paid("c", None)]
    told = reconcile(records, [units("a", 2.4), units("b", 0.4), units("b", 0.6), units("c", 3.0)])
    assert [(bill.job, bill.charged_units, bill.noted_units) for bill in told.bills] == [
        ("a", 2.4, 2.4),
        ("b", 1.0, 1.0),
        ("c", 3.0, None),
    ]
    assert told.findings == ()
    assert (told.total, told.total_units) == (0.0, pytest.approx(6.4))


def test_the_units_of_a_failure_that_was_billed_are_compared_also_once_its_job_is_tried_again() -> None:
    billed = paid("b", 2.0, Stage.FAILED).progress.attempt
    told = reconcile([paid("a", 2.4)], [units("a", 2.4), units("b", 2.0)], (), [("a", billed)])
    assert [(bill.generation_id, bill.noted_units) for bill in told.bills] == [("gen-a", 2.4), ("gen-b", 2.0)]


FAILED = GenerationFailed("moderated")


@for_each(
    ("records", "charges", "words"),
    [
        ([record("a")], [charge("a"), charge("a")], "charged twice: job 'a' (generation gen-a) was charged 2 times"),
        ([record("a")], [], "no charge for saved job 'a' (generation gen-a)"),
        ([record("a", Stage.READY)], [], "no charge for ready job"),
        (
            [record("a")],
            [charge("a", 0.2001)],
            "price mismatch: job 'a' (generation gen-a) was charged 0.2001 USD, expected 0.2000",
        ),
        ([], [charge("z")], "a charge without a job: 0.2000 USD for generation gen-z"),
        ([], [charge(None)], "a charge without a job: 0.2000 USD for generation without a reference"),
        ([record("a", Stage.FAILED, None, error=FAILED)], [charge("a")], "a failed job was charged: job 'a'"),
        ([record("a", Stage.FAILED, None, error=Rejected("no"))], [charge("a")], "a failed job was charged: job 'a'"),
        ([paid("a", 2.0)], [units("a", 2.4)], "job 'a' (generation gen-a) was charged 2.4 units, expected 2 units"),
        ([paid("a", 2.4)], [units("a", 2.4), units("a", 2.4)], "was charged 2 times, 4.8 units in all"),
        ([paid("a", None, Stage.FAILED, error=FAILED)], [units("a", 2.4)], "a failed job was charged: job 'a'"),
        ([], [units("z", 2.4)], "a charge without a job: 2.4 units for generation gen-z"),
        ([record("a"), record("b", generation_id="gen-a")], [charge("a")], "one generation for two jobs: 'a' and 'b'"),
    ],
)
def test_what_does_not_match_is_said(records: list[Record], charges: list[Charge], words: str) -> None:
    (finding,) = reconcile(records, charges).findings
    assert words in finding


@pytest.mark.parametrize("stage", [Stage.RENDERING, Stage.FAILED])
def test_a_generation_that_is_under_way_or_failed_may_have_no_charge(stage: Stage) -> None:
    assert reconcile([record("a", stage, None)], []).findings == ()


def refund(name: str | None, usd: float | None = 0.2, kind: str = "REFUND") -> Charge:
    return charge(name, usd, kind)._replace(usd=usd and -usd)


@pytest.mark.parametrize("kind", ["REFUND", "ADJUSTMENT"])
def test_what_was_given_back_is_no_cost(kind: str) -> None:
    failed = record("a", Stage.FAILED, 0.0, error=FAILED)
    account = [refund("a", 0.2, kind), charge("a"), charge("b"), refund("b", 0.05, kind)]
    reconciled = reconcile([failed, record("b", cost=0.15)], account)
    assert [bill.charged for bill in reconciled.bills] == [0.0, pytest.approx(0.15)]
    assert (reconciled.findings, reconciled.total) == ((), pytest.approx(0.15))


def test_a_charge_that_was_made_twice_and_given_back_once_was_made_once() -> None:
    reconciled = reconcile([record("a")], [charge("a"), charge("a"), refund("a")])
    assert (reconciled.findings, reconciled.total) == ((), pytest.approx(0.2))


@for_each(
    ("charges", "words"),
    [
        ([charge("a"), refund("a")], "price mismatch: job 'a' (generation gen-a) was charged 0.0000 USD"),
        ([charge("a"), charge("a"), refund("a", 0.1)], "charged twice: job 'a'"),
        ([charge("a"), refund("a", None)], "an amount that cannot be read: job 'a'"),
        ([refund("a")], "no charge for saved job 'a'"),
    ],
)
def test_what_was_given_back_is_said_where_it_does_not_match(charges: list[Charge], words: str) -> None:
    (finding,) = reconcile([record("a")], charges).findings
    assert words in finding


def test_what_was_given_back_to_others_is_no_finding() -> None:
    reconciled = reconcile([record("a")], [charge("a"), refund("z"), refund(None), refund("y", 0.7, "BONUS")])
    assert reconciled.findings == ()


def test_a_fraction_of_a_cent_is_no_finding() -> None:
    assert reconcile([record("a", cost=0.20001)], [charge("a", 0.2)]).findings == ()


def logged(generation: str, request_id: str | None, *, succeeded: bool = True) -> LogRow:
    return LogRow(request_id, f"gen-{generation}", succeeded, 0.0)


A = record("a")
AGAIN = Intent().request_id(A.job, "again")


@for_each(
    ("charges", "rows", "words"),
    [
        ([charge("z")], [logged("z", AGAIN)], f"gen-z, bought for job 'a' as {AGAIN}, charged 0.2000 USD"),
        ([charge("z")], [logged("z", AGAIN, succeeded=False)], "gen-z, bought for job 'a'"),
        ([], [logged("z", AGAIN)], f"gen-z, bought for job 'a' as {AGAIN}, not charged so far"),
        ([charge("z")], [logged("z", None)], "a charge without a job: 0.2000 USD for generation gen-z"),
    ],
)
def test_what_the_log_has_under_our_ids_and_the_run_does_not_know_is_said(
    charges: list[Charge], rows: list[LogRow], words: str
) -> None:
    (finding,) = reconcile([A], [charge("a"), *charges], [logged("a", Intent().request_id(A.job, "1")), *rows]).findings
    assert words in finding


def test_a_try_that_failed_and_was_not_charged_is_no_finding() -> None:
    assert reconcile([A], [charge("a")], [logged("z", AGAIN, succeeded=False)]).findings == ()


def test_what_others_bought_on_the_same_account_is_told_apart_by_its_request_id() -> None:
    told = reconcile([A], [charge("a"), charge("z", 0.7)], [logged("z", "another-program")])
    assert told.findings == ()
    assert told.elsewhere == (charge("z", 0.7),)
    assert told.total == pytest.approx(0.2)


def test_what_an_earlier_attempt_was_charged_is_a_cost_of_its_job_and_known_to_the_run() -> None:
    job = record("a")
    failed = Attempt("av-1", "gen-first", None, 1.0, None, Stage.FAILED, None)
    logged = LogRow(Intent().request_id(job.job, "1"), "gen-first", succeeded=False, created_at=1.0, failed=True)
    told = reconcile([job], [charge("a"), charge("first")], [logged], [("a", failed)])
    assert told.total == pytest.approx(0.4)
    assert told.findings == ("a failed job was charged: job 'a' (generation gen-first), 0.2000 USD",)


def test_a_generation_that_an_answer_named_by_mistake_stays_that_of_its_own_job() -> None:
    mistaken = Attempt("av-1", "gen-b", None, 1.0, None, Stage.RENDERING, None)
    told = reconcile([record("a"), record("b")], [charge("a"), charge("b")], (), [("a", mistaken)])
    assert told.findings == ()
    assert told.total == pytest.approx(0.4)
