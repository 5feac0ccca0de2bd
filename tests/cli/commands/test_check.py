"""What a job file costs, before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aimlvideo.cli.service_facts import ServiceFacts
from aimlvideo.sandbox import Sandbox
from tests.cases import for_each
from tests.cli.conftest import Command, write_jobs

JOB = {"model": "alibaba/wan-2-6-t2v", "prompt": "waves", "duration": 5}


def test_a_dry_run_is_a_check(command: Command, tmp_path: Path, sandbox: Sandbox) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    posts = sandbox.stats()["posts"]
    dry = command("run", "jobs.jsonl", "-o", "out", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert dry.output == command("check", "jobs.jsonl").output
    assert sandbox.stats()["posts"] == posts
    assert not (tmp_path / "out").exists()


def test_jobs_without_an_id_are_said_to_be_named_by_their_content(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "named.jsonl", {**JOB, "id": "a"}, {**JOB, "id": "b"})
    assert "named by the content" not in command("check", "named.jsonl").output
    write_jobs(tmp_path / "jobs.jsonl", JOB, JOB, {**JOB, "id": "a"})
    checked = command("check", "jobs.jsonl")
    assert checked.exit_code == 0
    assert checked.stderr.count("named by the content") == 1
    assert "2 jobs without an id" in checked.stderr
    assert "two identical ones are two clips" in checked.stderr
    assert "named by the content" not in command("run", "jobs.jsonl", "-o", "out", "--poll", "every:0.05").output
    assert len(list((tmp_path / "out").glob("*.mp4"))) == 3


@pytest.mark.parametrize("words", [["check", "jobs.jsonl"], ["run", "jobs.jsonl", "-o", "out"]])
def test_a_template_without_its_flag_is_refused_and_nothing_is_bought(
    command: Command, tmp_path: Path, sandbox: Sandbox, words: list[str]
) -> None:
    model, prompt = JOB["model"], JOB["prompt"]
    write_jobs(
        tmp_path / "jobs.jsonl",
        {"model": model, "prompt": prompt, "matrix": {"duration": [5, 10]}},
        {"matrix": {"model": [model], "prompt": [prompt]}},
    )
    posts = sandbox.stats()["posts"]
    refused = command(*words)
    assert refused.exit_code == 2
    assert "jobs.jsonl:1-2: matrix: one job" in refused.output
    assert "add --matrix" in refused.output
    assert "2 problems" in refused.output
    assert sandbox.stats()["posts"] == posts
    assert command("check", "jobs.jsonl", "--matrix").exit_code == 0


@pytest.mark.parametrize("flags", [[], ["--matrix"]])
def test_a_list_where_one_value_belongs_is_refused_with_the_way_to_a_job_each(
    command: Command, tmp_path: Path, flags: list[str]
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "prompt": ["fox", "owl"], "duration": [5, 10]})
    refused = command("check", "jobs.jsonl", *flags)
    assert refused.exit_code == 2
    for name in ("prompt", "duration"):
        (line,) = [line for line in refused.output.splitlines() if f": {name}: " in line]
        assert f'for a job each: "matrix": {{"{name}": [...]}} and --matrix' in line


def test_the_help_of_matrix_has_an_example_that_passes(command: Command, tmp_path: Path) -> None:
    shown = " ".join(command("check", "--help").output.replace("│", " ").split())
    example = shown[shown.index('{"model"') : shown.index(" is four jobs")]
    (tmp_path / "jobs.jsonl").write_text(example)
    checked = command("check", "jobs.jsonl", "--matrix")
    assert checked.exit_code == 0, checked.output
    assert "4 jobs," in checked.output


@pytest.mark.parametrize("words", [["check", "jobs.csv"], ["run", "jobs.csv", "-o", "out"]])
def test_all_that_is_wrong_with_a_table_is_said_at_once(command: Command, tmp_path: Path, words: list[str]) -> None:
    model = "kling-video/v1.6/pro/image-to-video"
    (tmp_path / "jobs.csv").write_text(
        "Name;Modle;Prompt;Picture;Seconds;Prompt\n"
        f"fox;{model};A fox;fox.png;5;x\n"
        f"owl;{model};An owl;owl.png;5;x\n"
        f"fox;{model};A hare;https://example.com/a.png;5;x\n"
    )
    refused = command(*words)
    assert refused.exit_code == 2
    said = " ".join(refused.output.split())
    assert "jobs.csv:1: prompt: each column once" in said
    assert "jobs.csv:2-4: model: a model, got none (did you mean the column 'Modle'?" in said
    assert "fox.png cannot be read" in said
    assert "owl.png cannot be read" in said
    assert "jobs.csv:4: job 'fox': Name: each Name once, got the same in jobs.csv:2 (rename one of the two)" in said
    assert said.count("model: a") == 1


def test_every_wrong_cell_of_a_row_is_said_and_none_twice(command: Command, tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text(f"model,prompt,duration,size,seed\n{JOB['model']},#REF!,7,#N/A,many\n")
    refused = command("check", "jobs.csv")
    assert refused.exit_code == 2
    lines = [line for line in refused.output.splitlines() if "jobs.csv:2" in line]
    for name in ("prompt", "duration", "seed"):
        assert len([line for line in lines if f" {name}: " in line]) == 1, refused.output


def test_two_jobs_of_one_id_are_named_with_both_their_places(command: Command, tmp_path: Path) -> None:
    wrong = {**JOB, "duration": 7}
    write_jobs(tmp_path / "jobs.jsonl", {**wrong, "id": "a"}, {**JOB, "id": "b"}, {**JOB, "id": "a"})
    for words in (["check", "jobs.jsonl"], ["run", "jobs.jsonl", "-o", "out"]):
        refused = " ".join(command(*words).output.split())
        assert "jobs.jsonl:1: job 'a': duration: " in refused
        assert "jobs.jsonl:3: job 'a': id: each id once, got the same in jobs.jsonl:1" in refused
        assert "2 problems" in refused


def test_a_job_without_a_model_says_which_field_may_have_been_meant(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {"Modell": JOB["model"], "prompt": "waves"}, {"prompt": "waves"})
    said = command("check", "jobs.jsonl").output
    assert "a model, got none (did you mean 'Modell'? Call it `model`, or give --model MODEL)" in said
    assert "a model, got none (add `model`, or give --model MODEL)" in said


def test_the_sandbox_prices_a_file_without_a_key_or_a_network(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIMLAPI_API_KEY")
    monkeypatch.setenv("AIMLAPI_BASE_URL", "http://127.0.0.1:9")
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    checked = command("check", "jobs.jsonl", "--sandbox")
    assert checked.exit_code == 0, checked.output
    assert "unknown" not in checked.output


@pytest.fixture
def keyless_and_offline(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.delenv("AIMLAPI_API_KEY")
    monkeypatch.setenv("AIMLAPI_BASE_URL", "http://127.0.0.1:9")
    return command


@pytest.mark.parametrize(
    ("service", "model", "reason"),
    [
        ("aimlapi", "alibaba/wan-2-6-t2v", "the price list of AI/ML API cannot be read ("),
        ("kling", "kling-v1-6", "a Kling gateway publishes no price list"),
    ],
)
def test_a_price_that_is_unknown_says_why_and_which_key_to_set(
    keyless_and_offline: Command, tmp_path: Path, service: str, model: str, reason: str
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {"model": model, "prompt": "waves"})
    checked = keyless_and_offline("check", "jobs.jsonl", "--service", service)
    assert checked.exit_code == 0, checked.output
    (note,) = [line for line in checked.stderr.splitlines() if "price unknown" in line]
    assert reason in note
    assert "set AIMLAPI_API_KEY or AIML_API_KEY, or use --sandbox" in note


def test_a_price_list_that_only_fails_says_so_without_a_word_of_keys(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMLAPI_BASE_URL", "http://127.0.0.1:9")
    write_jobs(tmp_path / "jobs.jsonl", JOB)
    said = command("check", "jobs.jsonl").stderr
    assert "price unknown: the price list" in said
    assert "API key" not in said


@pytest.mark.parametrize(
    "words", [["check", "jobs.jsonl"], ["balance"], ["run", "jobs.jsonl", "-o", "out"], ["models", "--prices"]]
)
def test_a_wrong_key_ends_every_command_with_2(command: Command, tmp_path: Path, words: list[str]) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    done = command(*words, "--api-key", "bad-key")
    assert done.exit_code == 2, done.output
    assert "API key (401)" in done.output
    assert "bad-key" not in done.output
    assert not (tmp_path / "out" / "journal.sqlite3").exists()


@for_each("content", [None, "", '{"model": ', json.dumps({**JOB, "duration": 7.5})])
def test_a_file_of_which_no_job_can_be_sent_is_refused_without_a_question_to_the_service(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "jobs.jsonl").write_text(content)
    monkeypatch.setattr(ServiceFacts, "asked", lambda *_, **__: pytest.fail("it was asked"))
    refused = command("check", "jobs.jsonl")
    assert refused.exit_code == 2
    assert "jobs.jsonl" in refused.stderr


def test_no_price_list_and_no_match_are_told_apart(command: Command) -> None:
    assert "no model matches '--max-price'" not in command("models", "--max-price", "100").output
    nothing = command("models", "kling", "--max-price", "0.0001")
    assert nothing.exit_code == 2
    assert "no model matches 'kling' and --max-price" in nothing.output
    away = command("models", "kling", "--max-price", "5", "--base-url", "http://127.0.0.1:9")
    assert away.exit_code == 2
    assert "price list cannot be read" in away.output
    shown = command("models", "kling", "--prices", "--base-url", "http://127.0.0.1:9")
    assert shown.exit_code == 0
    assert "price list cannot be read" in shown.output


def test_a_link_that_leads_nowhere_is_found_before_anything_is_bought(command: Command, tmp_path: Path) -> None:
    model = "kling-video/v1.6/pro/image-to-video"
    jobs = [
        {"id": f"a{n}", "model": model, "prompt": "x", "image_url": url}
        for n, url in enumerate(["https://", "https://cdn..example.com/a.png", "data:image/png;base64,", "data:"])
    ]
    write_jobs(tmp_path / "jobs.jsonl", *jobs)
    result = command("check", "jobs.jsonl")
    assert result.exit_code == 2
    assert "4 problems" in result.output
    assert "'cdn..example.com' is no host" in result.output
    assert "got 'data:image/png;base64,', a data: URI without its content" in result.output
    assert "image_url: a file that can be sent, got https:// is not a link (it names no host)" in result.output


@for_each("ending", ["json", "jsonl"])
@for_each("number", ["9223372036854775808", "1e400", "1" * 5000])
def test_a_number_that_no_reader_holds_is_named_with_its_job_and_its_field(
    command: Command, tmp_path: Path, ending: str, number: str
) -> None:
    good = json.dumps({"id": "a", "model": "alibaba/wan-2-6-t2v", "prompt": "https://x.test", "duration": 5})
    lines = [good, good.replace('"a"', '"b"').replace("5}", f'5, "odd": [{number}]}}')]
    text = "\n".join(lines) if ending == "jsonl" else f"[{','.join(lines)}]"
    (tmp_path / f"jobs.{ending}").write_text(text)
    result = command("check", tmp_path / f"jobs.{ending}")
    assert result.exit_code == 2
    assert "jobs.jsonl:2: " in result.output or "jobs.json: job 2: " in result.output, result.output
    assert "odd" in result.output
    assert "a finite number of at most 64 bits" in result.output
    assert "1 problem; nothing was sent" in result.output


def test_a_blank_beside_the_name_of_a_parameter_is_no_part_of_it(command: Command, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("A fox\n")
    result = command("check", "prompts.txt", "--model", "alibaba/wan-2-6-t2v", "--set", "duration =77")
    assert result.exit_code == 2
    assert "duration: one of 5, 10, 15, got 77" in result.output
