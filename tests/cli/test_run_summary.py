"""Where the jobs of a journal stand, said from the journal alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aimlvideo import Stage, VideoJob
from aimlvideo.cli.run_summary import PRICES, RunSummary, dollars_to_go_on
from aimlvideo.cli.session import REASONS_SHOWN, RunSession
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.money.budget import Budget, Spending, Verdict
from aimlvideo.core.money.pricing import Price, Prices, Pricing
from aimlvideo.errors import GenerationFailed, InDoubt, LinkDead, OutOfPatience, OverBudget
from aimlvideo.shell.journal.sqlite import SqliteJournal, open_journal

MODEL = "kling-video/v1.6/pro/image-to-video"
OTHER = "veo2"
NOW = 1_800_000_000.0
NOBODY: Any = None


def rendering(name: str, age: float) -> Progress:
    return Progress(Stage.RENDERING, request_id=f"av-{name}", generation_id=f"gen-{name}", submitted_at=NOW - age)


async def said(folder: Path, jobs: dict[str, Progress], *, model: str = MODEL, prices: str | None = None) -> list[str]:
    async with open_journal(folder / "journal.sqlite3") as journal:
        for name, known in jobs.items():
            job = journal.plan(VideoJob(model, id=name, prompt="waves", duration=5)).job
            journal.step(job, known)
        if prices is not None:
            journal.note(PRICES, prices)
        return list(RunSummary.of(journal, folder).lines(NOW))


async def test_it_says_what_is_spent_and_committed_and_how_old_the_oldest_id_is(tmp_path: Path) -> None:
    jobs = {
        "done": Progress(Stage.SAVED, generation_id="gen-done", cost_usd=0.2),
        "young": rendering("young", 5),
        "old": rendering("old", 200),
        "later": Progress(),
    }
    listed = Prices({MODEL: Pricing((Price(0.05, "second"),))}).as_text()
    first, second, *rest = await said(tmp_path, jobs, prices=listed)
    assert first == f"1 planned, 2 rendering, 1 saved; 0.20 USD spent, 0.50 USD committed; in {tmp_path}"
    assert second == "  oldest outstanding: gen-old (job old), submitted 3 min 20 s ago"
    assert rest == []


async def test_without_a_price_list_clips_of_a_model_cost_what_they_did_so_far(tmp_path: Path) -> None:
    jobs = {"done": Progress(Stage.SAVED, generation_id="gen-done", cost_usd=0.2), "next": rendering("next", 5)}
    assert "0.20 USD committed;" in (await said(tmp_path, jobs))[0]


async def test_a_clip_that_is_paid_and_asked_for_again_is_spent_and_no_longer_committed(tmp_path: Path) -> None:
    again = rendering("again", 5)._replace(cost_usd=0.2, video_url="https://example.com/dead")
    first = (await said(tmp_path, {"again": again, "unsaid": again._replace(generation_id="g", cost_usd=None)}))[0]
    assert first == f"2 rendering; 0.20 USD spent (1 of unknown cost), 0.00 USD committed; in {tmp_path}"
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        assert dollars_to_go_on(journal, []) == 0.2


async def test_the_limit_to_go_on_with_has_room_for_clips_whose_cost_nobody_said(tmp_path: Path) -> None:
    listed = Prices({MODEL: Pricing((Price(0.05, "second"),))}).as_text()
    saved = Progress(Stage.SAVED, generation_id="gen-a")
    unfetched = saved._replace(stage=Stage.FAILED, error=LinkDead("gone"))
    jobs = {"a": saved, "b": saved._replace(cost_usd=0.2), "c": unfetched, "d": saved._replace(cost_units=3.0)}
    await said(tmp_path, jobs, prices=listed)
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        to_buy = [Record(VideoJob(MODEL, id="e", prompt="waves", duration=5), Progress())]
        assert dollars_to_go_on(journal, to_buy) == pytest.approx(0.2 + 4 * 0.25)
        assert Budget(1.2, counted(journal)).verdict(0.25, ()) is Verdict.ADMITTED
        assert Budget(1.19, counted(journal)).verdict(0.25, ()) is Verdict.OVER_BUDGET


def counted(journal: SqliteJournal) -> Spending:
    spending = Spending()
    spending.count(journal.all_jobs(), lambda _: 0.25, spent=journal.spent())
    return spending


async def test_a_price_that_nobody_knows_is_not_nothing(tmp_path: Path) -> None:
    jobs = {"next": rendering("next", 5)}
    assert "0.00 USD committed (1 of unknown price);" in (await said(tmp_path, jobs, model=OTHER))[0]


async def test_what_clips_cost_in_the_service_s_units_is_no_unknown_cost(tmp_path: Path) -> None:
    saved = Progress(Stage.SAVED, generation_id="gen-a")
    jobs = {"a": saved._replace(cost_units=3.5), "b": saved._replace(cost_units=7.0), "c": saved}
    assert (await said(tmp_path, jobs))[0].startswith("3 saved; 10.5 of the service's units (1 of unknown cost); in")
    some = {"a": saved._replace(cost_usd=0.2), "b": jobs["b"], "next": rendering("next", 5)}
    more = tmp_path / "more"
    more.mkdir()
    assert "; 0.20 USD and 7 of the service's units spent, 0.20 USD committed;" in (await said(more, some))[0]


async def test_money_is_that_of_the_whole_folder_also_at_the_end_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    listed = Prices({MODEL: Pricing((Price(0.05, "second"),))}).as_text()
    async with open_journal(path) as journal:
        journal.note(PRICES, listed)
        for name, known in {"a": rendering("a", 5), "b": Progress()}.items():
            journal.step(journal.plan(VideoJob(MODEL, id=name, prompt="waves", duration=5)).job, known)
    async with open_journal(path) as journal:
        job = journal.plan(VideoJob(MODEL, id="c", prompt="waves", duration=5)).job
        journal.step(job, Progress(Stage.SAVED, generation_id="gen-c", cost_usd=0.2))
        summary = RunSummary.of(journal, run=journal.run)
    first, others = summary.lines(NOW)
    assert first == "1 saved; 0.20 USD spent, 0.25 USD committed"
    assert others == "  1 more is planned and 1 is unfinished here by an earlier file: `aimlvideo resume DIR`"
    assert summary.as_json()["committed_usd"] == pytest.approx(0.25)


async def test_a_long_reason_that_is_cut_says_so(tmp_path: Path) -> None:
    jobs = {"a": Progress(Stage.FAILED, error=GenerationFailed("no GPU " * 40))}
    (line,) = (await said(tmp_path, jobs))[1:]
    assert line.endswith("…")


async def test_failures_are_grouped_by_their_reason(tmp_path: Path) -> None:
    failed = Progress(Stage.FAILED, error=GenerationFailed("content moderation"))
    lines = await said(tmp_path, {"a": failed, "b": failed, "c": failed._replace(error=GenerationFailed("no GPU"))})
    assert lines[1:] == ["  failed: a, b: content moderation", "  failed: c: no GPU"]


async def test_ten_failed_jobs_are_named_and_the_others_counted(tmp_path: Path) -> None:
    failed = Progress(Stage.FAILED, error=GenerationFailed("content moderation"))
    lines = await said(tmp_path, {f"j{number:02}": failed for number in range(13)})
    named = ", ".join(f"j{number:02}" for number in range(10))
    assert lines[1:] == [
        f"  failed: {named}: content moderation",
        "  and 3 more failed: all reasons are in results.jsonl",
    ]


async def test_an_id_from_elsewhere_has_no_age(tmp_path: Path) -> None:
    jobs = {"theirs": rendering("theirs", 0)._replace(submitted_at=None), "ours": rendering("ours", 5)}
    assert "gen-ours (job ours), submitted 5.0 s ago" in (await said(tmp_path, jobs))[1]
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        journal.step(VideoJob(MODEL, id="ours"), Progress(Stage.SAVED))
        assert "gen-theirs (job theirs), submitted elsewhere" in list(RunSummary.of(journal, tmp_path).lines(NOW))[1]


async def test_an_id_that_was_taken_in_here_was_not_submitted_here_then(tmp_path: Path) -> None:
    adopted = rendering("theirs", 240)._replace(request_id=None)
    assert "gen-theirs (job theirs), submitted elsewhere" in (await said(tmp_path, {"theirs": adopted}))[1]


async def test_what_is_in_doubt_is_named_with_what_to_do(tmp_path: Path) -> None:
    doubt = Progress(Stage.IN_DOUBT, request_id="av-1", submitted_at=NOW)
    first, line = await said(tmp_path, {"a": doubt})
    assert "0.00 USD spent, 0.00 USD committed (1 of unknown price)" in first
    assert line == (
        "  in doubt: job a, client request id av-1: look for it in the service's log, "
        f"then `aimlvideo resolve {tmp_path} a --generation ID` or `--not-accepted`"
    )
    *_, line = await said(tmp_path, {"-b": doubt})
    assert f"`aimlvideo resolve --generation ID -- {tmp_path} -b`" in line


def unfinished(name: str, trouble: str) -> Result:
    text = f"the download of generation gen-{name} did not end within 60 s; the last try failed: {trouble}"
    return Result(VideoJob(MODEL, id=name), Stage.READY, generation_id=f"gen-{name}", error=OutOfPatience(text))


def test_each_reason_for_which_jobs_are_unfinished_is_said_once() -> None:
    reasons = RunSession(NOBODY, NOBODY).reasons
    for name, trouble in (
        ("a", "sent 1,000 of 210,655 bytes"),
        ("b", "sent an empty file"),
        ("c", "sent 77 of 3,000,000 bytes"),
        ("d", "no answer for 1 min 20 s"),
        ("e", "no answer for 58 s"),
    ):
        reasons.add(unfinished(name, trouble))
    lines = list(reasons.lines())
    assert [line.partition(": the download")[0] for line in lines] == [
        "  unfinished: a and 1 more job",
        "  unfinished: b",
        "  unfinished: d and 1 more job",
    ]
    assert lines[1].endswith("sent an empty file")


def test_a_reason_that_the_run_s_end_says_or_the_job_s_own_state_is_not_said_again() -> None:
    session, halted, slow = RunSession(NOBODY, NOBODY), OverBudget("no money"), OutOfPatience("too slow")
    for name, stage, error in [
        ("unsent", Stage.PLANNED, halted),
        ("slow", Stage.RENDERING, slow),
        ("doubtful", Stage.IN_DOUBT, InDoubt("lost")),
        ("failed", Stage.FAILED, GenerationFailed("no paint")),
        ("saved", Stage.SAVED, None),
    ]:
        session._note(Result.of(VideoJob(MODEL, id=name), Progress(stage, error=error)), halted)
    assert list(session.reasons.lines()) == ["  unfinished: slow: too slow"]


def test_of_very_many_reasons_the_first_are_said_and_the_others_counted() -> None:
    reasons = RunSession(NOBODY, NOBODY).reasons
    for number in range(1000):
        reasons.add(unfinished(str(number), "no " + "o" * number))
    reasons.add(unfinished("again", "no "))
    *lines, last = reasons.lines()
    assert len(lines) == REASONS_SHOWN
    assert lines[0].startswith("  unfinished: 0 and 1 more job: ")
    assert last == "  and 995 more unfinished: all reasons are in results.jsonl"
