"""The command as its users meet it: files, exit codes, what is said."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from aimlvideo import VideoJob
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.sandbox import Sandbox
from aimlvideo.shell.state.learned_durations import LearnedDurations
from tests.cli.conftest import Command, quick, rows, write_jobs
from tests.servers import sandbox_thread
from tests.waiting import wait_until

MODEL = "kling-video/v1.6/pro/image-to-video"
JOB = {"model": MODEL, "prompt": "waves", "image_url": "https://example.com/a.png", "duration": 5}


def test_a_run_saves_every_clip_and_writes_a_line_for_each(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"}, {**JOB, "id": "two"}, {**JOB, "prompt": "no id"})
    done = command(*quick("jobs.jsonl"))
    assert done.exit_code == 0, done.output
    written = rows(tmp_path / "out")
    assert len(written) == 3
    assert written.keys() > {"one", "two"}
    for row in written.values():
        clip = tmp_path / "out" / row["file"]
        assert row["stage"] == "saved"
        assert clip.stat().st_size == row["bytes"]
        assert clip.name == f"{row['id']}.mp4"
        assert row["cost_usd"] > 0
    assert (tmp_path / "out" / "journal.sqlite3").stat().st_mode & 0o777 == 0o600
    assert b"key-that-nobody" not in (tmp_path / "out" / "journal.sqlite3").read_bytes()


def test_the_same_command_again_buys_nothing(command: Command, tmp_path: Path, sandbox: Sandbox) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"})
    assert command(*quick("jobs.jsonl")).exit_code == 0
    before = sandbox.stats()["posts"]
    assert command(*quick("jobs.jsonl")).exit_code == 0
    assert sandbox.stats()["posts"] == before


def test_a_clip_that_was_deleted_is_fetched_again_and_not_bought(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"})
    command(*quick("jobs.jsonl"))
    (tmp_path / "out" / "one.mp4").unlink()
    before = sandbox.stats()["posts"]
    assert command(*quick("jobs.jsonl")).exit_code == 0
    assert (tmp_path / "out" / "one.mp4").exists()
    assert sandbox.stats()["posts"] == before


def test_verify_notices_a_clip_that_changed(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"})
    command(*quick("jobs.jsonl"))
    clip = tmp_path / "out" / "one.mp4"
    whole = clip.read_bytes()
    clip.write_bytes(b"x" + whole[1:])
    command(*quick("jobs.jsonl"))
    assert clip.read_bytes() != whole
    command(*quick("jobs.jsonl"), "--verify")
    assert clip.read_bytes() == whole


def test_new_lines_of_the_file_join_and_a_changed_one_is_refused(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"})
    command(*quick("jobs.jsonl"))
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"}, {**JOB, "id": "two"})
    assert command(*quick("jobs.jsonl")).exit_code == 0
    assert rows(tmp_path / "out").keys() == {"one", "two"}
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one", "prompt": "other"}, {**JOB, "id": "three"})
    refused = command(*quick("jobs.jsonl"))
    assert refused.exit_code == 2
    assert "jobs.jsonl:1" in refused.output
    assert "prompt" in refused.output
    assert rows(tmp_path / "out").keys() == {"one", "two"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jobs.json", json.dumps([{**JOB, "id": "one"}, {**JOB, "id": "two"}])),
        (
            "jobs.csv",
            f"id,model,prompt,image_url,duration\none,{MODEL},waves,https://e.com/a.png,5\ntwo,{MODEL},w,https://e.com/a.png,\n",
        ),
    ],
)
def test_json_and_csv_are_read_like_json_lines(command: Command, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    done = command(*quick(name))
    assert done.exit_code == 0, done.output
    assert rows(tmp_path / "out").keys() == {"one", "two"}


def test_jobs_come_from_standard_input_and_json_goes_to_standard_output(command: Command) -> None:
    done = command(*quick("-"), "--json", input=json.dumps({**JOB, "id": "one"}) + "\n")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["id"] for line in lines] == ["one"]


def test_every_bad_line_is_named_at_once_and_nothing_is_sent(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    before = sandbox.stats()["posts"]
    write_jobs(
        tmp_path / "jobs.jsonl",
        {**JOB, "id": "fine"},
        {**JOB, "id": "long", "duration": 7},
        "{broken",
        {**JOB, "id": "fine"},
        {**JOB, "id": "lost", "image_url": "not-there.png"},
        {**JOB, "id": "who", "model": "kling-video/v1.6/pro/image-to-vidoe"},
        "[1, 2]",
    )
    done = command(*quick("jobs.jsonl"))
    assert done.exit_code == 2
    for said in (":2", "duration", "5, 10", ":3", ":4", "each id once", ":5", "not-there.png", ":6", MODEL, ":7"):
        assert said in done.output, said
    assert sandbox.stats()["posts"] == before
    assert not (tmp_path / "out").exists()


def test_a_missing_key_says_which_variable_and_where_to_get_one(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIMLAPI_API_KEY")
    write_jobs(tmp_path / "jobs.jsonl", JOB)
    done = command(*quick("jobs.jsonl"))
    assert done.exit_code == 2
    assert "AIMLAPI_API_KEY" in done.output
    assert "https://" in done.output


@pytest.mark.parametrize(
    "words",
    [
        ["--base-url", "not a url"],
        ["--base-url", "http://api.example.com"],
        ["--service", "sora"],
        ["--poll", "now and then"],
        ["--rate", "0"],
        ["--max-outstanding", "many"],
        ["--max-outstanding", "9" * 5000],
        ["--callback", "here"],
        ["--callback", "::1"],
        ["--callback-secret", "whsec_c2VjcmV0"],
        ["--callback", "127.0.0.1:" + "9" * 5000],
        ["--callback", "127.0.0.1:65536"],
        ["--board", "9" * 5000],
    ],
)
def test_wrong_settings_end_with_2_and_one_line(command: Command, tmp_path: Path, words: list[str]) -> None:
    write_jobs(tmp_path / "jobs.jsonl", JOB)
    done = command("run", "jobs.jsonl", "-o", "out", *words)
    assert done.exit_code == 2
    assert done.output.startswith("error:")
    assert "Traceback" not in done.output


def test_a_wrong_key_is_said_once_and_ends_with_2(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", *({**JOB, "id": f"job{number}"} for number in range(5)))
    done = command(*quick("jobs.jsonl"), "--api-key", "bad-key")
    assert done.exit_code == 2, done.output
    assert "API key" in done.output
    assert "bad-key" not in done.output


def test_a_job_that_fails_ends_the_run_with_1_and_may_be_tried_again(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    from dataclasses import replace

    usual = sandbox.behaviour
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"})
    sandbox.behaviour = replace(usual, status_error=1.0)
    try:
        done = command(*quick("jobs.jsonl"))
    finally:
        sandbox.behaviour = usual
    assert done.exit_code == 1
    assert rows(tmp_path / "out")["one"]["stage"] == "failed"
    assert rows(tmp_path / "out")["one"]["error"]
    assert command(*quick("jobs.jsonl")).exit_code == 1
    assert command(*quick("jobs.jsonl"), "--retry-failed").exit_code == 0
    assert rows(tmp_path / "out")["one"]["stage"] == "saved"


def test_running_out_of_time_ends_with_3_and_the_next_run_picks_it_up(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    from dataclasses import replace

    usual = sandbox.behaviour
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"})
    sandbox.behaviour = replace(usual, seconds=1.5)
    try:
        done = command(*quick("jobs.jsonl"), "--timeout", "0.5")
    finally:
        sandbox.behaviour = usual
    assert done.exit_code == 3, done.output
    row = rows(tmp_path / "out")["one"]
    assert row["stage"] == "rendering"
    assert row["generation_id"]
    assert f"unfinished: one: generation {row['generation_id']} did not finish within 0.5 s. " in done.output
    posts = sandbox.stats()["posts"]
    assert command(*quick("jobs.jsonl")).exit_code == 0
    assert sandbox.stats()["posts"] == posts
    assert rows(tmp_path / "out")["one"]["stage"] == "saved"


def test_out_of_credits_ends_with_3_and_says_so(command: Command, tmp_path: Path, sandbox: Sandbox) -> None:
    from dataclasses import replace

    usual = sandbox.behaviour
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"})
    sandbox.behaviour = replace(usual, balance=0.0)
    try:
        stopped = command(*quick("jobs.jsonl"))
        started = command(*quick("jobs.jsonl"), "--anyway")
    finally:
        sandbox.behaviour = usual
    assert stopped.exit_code == 2
    assert "--anyway" in stopped.output
    assert started.exit_code == 3, started.output
    assert "credits" in started.output


def test_a_spending_limit_is_kept(command: Command, tmp_path: Path, sandbox: Sandbox) -> None:
    write_jobs(tmp_path / "jobs.jsonl", *({**JOB, "id": f"job{number}"} for number in range(6)))
    spent = sandbox.stats()["spent"]
    done = command(*quick("jobs.jsonl"), "--max-spend", "0.9")
    assert done.exit_code == 3, done.output
    assert 0 < sandbox.stats()["spent"] - spent <= 0.9
    assert "limit" in done.output


def test_the_gateway_is_a_service_of_its_own(command: Command, tmp_path: Path) -> None:
    write_jobs(
        tmp_path / "jobs.jsonl", {"id": "one", "model": "kling-v1-6", "prompt": "waves", "duration": "5", "mode": "pro"}
    )
    done = command(*quick("jobs.jsonl"), "--service", "kling")
    assert done.exit_code == 0, done.output
    assert command(*quick("jobs.jsonl")).exit_code == 2


def test_one_clip_is_made_with_its_pictures_where_the_model_takes_them(command: Command, tmp_path: Path) -> None:
    from aimlvideo.sandbox.film.scenes import sample_picture

    (tmp_path / "a.png").write_bytes(sample_picture("dunes", (320, 320)))
    done = command(
        "generate", MODEL, "-p", "waves", "-i", "a.png", "-i", "a.png", "--set", "duration=10", "-o", "clip.mp4",
        "--poll", "every:0.1",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert (tmp_path / "clip.mp4").read_bytes()[4:8] == b"ftyp"


def test_a_refused_clip_ends_with_2_and_names_the_field(command: Command) -> None:
    done = command("generate", MODEL, "-p", "waves", "--set", "duration=7", "-o", "clip.mp4")
    assert done.exit_code == 2
    assert "duration" in done.output
    assert "image_url" in done.output


def test_two_runs_in_one_folder_are_told_apart(command: Command, tmp_path: Path) -> None:
    from filelock import FileLock

    write_jobs(tmp_path / "jobs.jsonl", JOB)
    command(*quick("jobs.jsonl"))
    with FileLock(tmp_path / "out" / "journal.sqlite3.lock"):
        done = command(*quick("jobs.jsonl"))
    assert done.exit_code == 2
    assert str(os.getpid()) in done.output


def test_the_balance_takes_two_questions(command: Command, sandbox: Sandbox) -> None:
    before = sum(sandbox.stats()["answers"].values())
    assert "USD" in command("balance").output
    assert sum(sandbox.stats()["answers"].values()) - before == 2


def test_status_balance_models_and_check_answer(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"})
    command(*quick("jobs.jsonl"))
    assert "1 saved" in command("status", "out").output
    assert "USD" in command("balance").output
    assert MODEL in command("models", "kling-video").output
    assert "duration" in command("models", MODEL).output
    checked = command("check", "jobs.jsonl")
    assert checked.exit_code == 0
    assert "1 job," in checked.output
    assert "USD" in checked.output


def test_a_model_s_page_says_what_was_learned_of_it(command: Command) -> None:
    knowledge = LearnedDurations.load()
    policy = knowledge.policy(f"{MODEL} duration=5")
    for _ in range(20):
        policy.observe(0.0, 95.0, False)
        policy.observe(95.0, 105.0, True)
    knowledge.save()
    said = command("models", MODEL).output
    assert f"learned of {MODEL} duration=5: half within 10" in said
    assert re.search(r"polls at \d+", said)


def test_reconcile_finds_nothing_after_an_ordinary_run(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", *({**JOB, "id": f"r{number}"} for number in range(3)))
    command(*quick("jobs.jsonl"))
    told = command("reconcile", "out")
    assert "no charge for" not in told.output
    assert "charged twice" not in told.output


def test_reconcile_at_kling_itself_compares_units_with_its_two_ledgers(
    command: Command, tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_API_KEY", "key-that-nobody-may-see")
    write_jobs(tmp_path / "jobs.jsonl", {"model": "kling-3.0-turbo", "prompt": "p", "id": "a"})
    place = ("--service", "kling-official", "--base-url", sandbox.url)
    assert command(*quick("jobs.jsonl"), *place).exit_code == 0
    told = command("reconcile", "out", "--base-url", sandbox.url, "--json")
    bought = rows(tmp_path / "out")["a"]
    (bill,) = json.loads(told.stdout)["bills"]
    assert bill == {
        "job": "a",
        "generation_id": bought["generation_id"],
        "charged_usd": 0.0,
        "noted_usd": None,
        "charged_units": bought["cost_units"],
        "noted_units": bought["cost_units"],
    }
    assert "job 'a'" not in told.output


def test_reconcile_names_what_was_bought_behind_the_back_of_the_run(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "once"})
    command(*quick("jobs.jsonl"))
    twice = Intent().request_id(VideoJob(MODEL, id="once"), "twice")
    bought = [buy(sandbox, request_id) for request_id in (twice, "another-program", None)]
    assert command("wait", "-o", "other", "--poll", "every:0.1", "--", *bought).exit_code == 0
    told = command("reconcile", "out")
    assert told.exit_code == 1
    said = told.output.replace("\n", " ")
    assert f"{bought[0]}, bought for job 'once' as {twice}, charged" in said
    assert bought[1] not in said
    assert "by other programs on this account" in said
    assert "a charge without a job" in said
    assert bought[2] in said


def buy(sandbox: Sandbox, request_id: str | None) -> str:
    """Buy a generation as any program may, and return its id."""
    headers = {"Authorization": "Bearer key-that-nobody-may-see", "Content-Type": "application/json"}
    headers |= {"X-Client-Request-Id": request_id} if request_id else {}
    url = f"{sandbox.url}/v2/video/generations"
    with urlopen(Request(url, json.dumps(JOB).encode(), headers)) as answer:
        return str(json.load(answer)["id"])


def test_a_lost_journal_is_refused_and_recovered_from_what_is_left(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "kept"}, {**JOB, "id": "also"})
    command(*quick("jobs.jsonl"))
    for name in ("journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm"):
        (tmp_path / "out" / name).unlink(missing_ok=True)
    results = tmp_path / "out" / "results.jsonl"
    results.write_text(results.read_text().splitlines(keepends=True)[0])
    posts = sandbox.stats()["posts"]
    refused = command(*quick("jobs.jsonl"))
    assert refused.exit_code == 2
    assert "recover" in refused.output
    results.write_text(f'{{"id": "als{chr(10)}{results.read_text()}')
    recovered = command("recover", "out")
    assert recovered.exit_code == 0
    assert "1 job from results.jsonl" in recovered.output
    assert "1 line of results.jsonl cannot be read" in recovered.output
    done = command(*quick("jobs.jsonl"))
    assert done.exit_code == 0, done.output
    assert rows(tmp_path / "out").keys() == {"kept", "also"}
    assert sandbox.stats()["posts"] == posts


def test_generations_from_elsewhere_are_waited_for(command: Command, tmp_path: Path, sandbox: Sandbox) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"})
    command(*quick("jobs.jsonl"))
    generation = rows(tmp_path / "out")["one"]["generation_id"]
    done = command("wait", "-o", "other", "--poll", "every:0.1", "--", generation)  # an id may begin with a dash
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "other").glob("*.mp4"))) == 1


@pytest.fixture
def ctrl_c_is_heard() -> Iterator[None]:
    """Let what is started here listen to Ctrl-C, also where whoever started the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_ctrl_c_says_what_is_outstanding_and_how_to_go_on(tmp_path: Path) -> None:
    with sandbox_thread(seconds=30) as sandbox:
        write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"})
        words = [sys.executable, "-m", "aimlvideo", "run", "jobs.jsonl", "-o", "out", "--poll", "every:1"]
        environment = {**os.environ, "AIMLAPI_BASE_URL": sandbox.url, "AIMLAPI_API_KEY": "k"}
        run = subprocess.Popen(
            words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        wait_until(lambda: sandbox.stats()["accepted"], "the job to be accepted", run)
        run.send_signal(signal.SIGINT)
        said, _ = run.communicate(timeout=25)  # the clip would take 30 s
    assert run.returncode == 3, said
    assert "1 rendering" in said
    assert "1 outstanding" in said
    assert "aimlvideo run jobs.jsonl -o out" in said
    assert "Traceback" not in said


def test_a_run_serves_its_figures_where_that_is_asked_for(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "m"})
    told = command(*quick("jobs.jsonl"), "--metrics", 0)
    assert told.exit_code == 0, told.output
    assert re.search(r"the metrics are at http://127\.0\.0\.1:\d+/metrics", told.output)
    taken = command(*quick("jobs.jsonl"), "--metrics", 70000)
    assert taken.exit_code == 2
    assert "--metrics: 127.0.0.1:70000 cannot be opened" in taken.output
    assert ".." not in taken.output
