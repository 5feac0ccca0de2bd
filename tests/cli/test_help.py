"""What a person reads before the first run: the help of every command, and how a shell completes them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from aimlvideo.cli.app import _Commands, _normalized, app
from aimlvideo.settings import Settings
from tests.cases import for_each

COMMANDS = tuple(_Commands.listed)


def group() -> Any:
    return get_command(app)


def options() -> Iterator[Any]:
    """Give every option and argument of every command, with a name for messages."""
    for name in COMMANDS:
        command = group().load(name)
        for part in (command, *getattr(command, "commands", {}).values()):
            for param in part.params:
                if param.name not in ("help", "install_completion", "show_completion"):
                    yield pytest.param(param, id=f"{name} {part.name} {param.name}")
    for param in group().params:
        yield pytest.param(param, id=f"aimlvideo {param.name}")


@for_each("param", [*options()])
def test_every_option_says_in_a_sentence_what_it_does(param: Any) -> None:
    text = param.help or ""
    assert len(text) > 10
    assert text[0].isupper() or text[0] in "`-" or re.match(r"\w+[_.]", text), text
    assert text.endswith("."), text
    assert not re.search(r"\(\)|the same\b|TODO|\.\. ", text), text


@for_each("param", [*options()])
def test_who_leaves_an_option_out_has_what_a_program_has_that_leaves_the_setting_out(param: Any) -> None:
    setting = Settings.__dataclass_fields__.get(param.name)
    assert setting is None or param.default in (None, "auto") or str(param.default) == str(setting.default)


@for_each("param", [param for param in options() if getattr(param.values[0], "is_flag", False)])
def test_no_flag_is_set_by_itself(param: Any) -> None:
    assert not param.default


@for_each("name", COMMANDS)
def test_the_list_and_a_command_s_own_help_say_one_thing(name: str) -> None:
    command, listed = group().load(name), _Commands.listed[name].summary
    assert re.findall(r"[\w.]+\w", command.help)[:2] == re.findall(r"[\w.]+\w", listed)[:2]
    assert listed.endswith(".")
    assert command.epilog.startswith(f"Example: aimlvideo {name}"), "every command shows how it is typed"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_h_shows_the_help_in_groups(flag: str) -> None:
    shown = CliRunner().invoke(app, [flag])
    assert shown.exit_code == 0
    for entry in _Commands.listed.values():
        assert f"─ {entry.heading} ─" in shown.output
    assert "--install-completion" in shown.output
    run = CliRunner().invoke(app, ["run", flag])
    assert "─ Money ─" in run.output
    assert "Example: aimlvideo run jobs.jsonl" in run.output


def python(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_help_loads_nothing_heavy() -> None:
    code = """
import sys
from aimlvideo.cli.app import app
try:
    app(["--help"])
except SystemExit as end:
    assert not end.code
heavy = {"aiohttp", "psycopg", "av", "pydantic", "sqlite3", "numpy", "anyio", "jinja2"} & set(sys.modules)
assert not heavy, heavy
"""
    assert "Usage" in python("-c", code)


@pytest.mark.long
def test_a_shell_completes_commands_and_their_options() -> None:
    asked = {"_AIMLVIDEO_COMPLETE": "complete_bash", "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    start = "import sys; sys.argv[0] = 'aimlvideo'; from aimlvideo.__main__ import main; main()"
    commands = python("-c", start, COMP_WORDS="aimlvideo re", COMP_CWORD="1", **asked).split()
    assert commands == ["resume", "report", "reconcile", "resolve", "recover"]
    flags = python("-c", start, COMP_WORDS="aimlvideo run --max", COMP_CWORD="2", **asked).split()
    assert flags == ["--max-outstanding", "--max-spend"]


@for_each(
    ("typed", "read"),
    [
        (["--log", "info", "run", "a"], ["--log", "info", "run", "a"]),
        (["run", "a", "--log", "info", "-o", "b"], ["--log", "info", "run", "a", "-o", "b"]),
        (["run", "a", "--log=debug"], ["--log=debug", "run", "a"]),
        (["run", "--", "--log", "a"], ["run", "--", "--log", "a"]),
        (["run", "a", "--log"], ["--log", "run", "a"]),
        ([], []),
    ],
)
def test_the_log_level_may_stand_before_or_after_the_command(typed: list[str], read: list[str]) -> None:
    assert _normalized(typed) == read


def test_a_level_after_the_command_is_heard(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["status", str(tmp_path), "--log", "loud"])
    assert done.exit_code == 2
    assert "expected debug, info, warning or error, got 'loud'" in " ".join(done.output.replace("│", "").split())


def test_a_misspelt_command_is_named_with_the_nearest_one() -> None:
    done = CliRunner().invoke(app, ["genrate"])
    assert done.exit_code == 2
    assert "generate" in done.output


@pytest.mark.parametrize("words", [["worker", "--help"], ["db", "init", "--help"], ["enqueue", "-h"], ["drain", "-h"]])
def test_the_commands_of_many_machines_show_their_help_without_their_extra(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "aimlvideo.cli.shared_jobs", raising=False)
    assert CliRunner().invoke(app, words).exit_code == 0
    tried = CliRunner().invoke(app, ["drain"])
    assert tried.exit_code == 2
    assert "aimlvideo[distributed]" in tried.output


@for_each(
    "words",
    [
        ("wait", "-Xq7", "-o", "out"),
        ("adopt", "out", "-Xq7"),
        ("resolve", "out", "-Xq7"),
        ("join", "out", "-o", "f", "-Xq7"),
    ],
)
def test_an_id_that_begins_with_a_dash_is_passed_after_two_and_the_error_says_so(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "put -- before the ids" in " ".join(refused.output.replace("\u2502", " ").split())
    after = [*(word for word in words if word != "-Xq7"), "--", "-Xq7"]
    taken = CliRunner().invoke(app, after)
    assert "No such option" not in taken.output


def test_an_option_that_is_nearly_right_is_named_instead() -> None:
    refused = CliRunner().invoke(app, ["wait", "id", "--outptu", "out"])
    assert "--output" in refused.output
    assert "put --" not in refused.output


def test_what_a_number_was_is_said_where_it_is_none() -> None:
    secret = "postgresql://me:secret-word@db.test/jobs"
    for words, said in (
        (("run", "j", "-o", "d", "--rate", "abc"), "expected a valid number, got 'abc'"),
        (("sandbox", "--port", "1.5"), "expected a valid integer, got '1.5'"),
        (("join", "d", "-o", "f", "--fade", "-1"), "expected greater than or equal to 0, got '-1'"),
        (("run", "j", "-o", "d", "--rate", secret), "expected a valid number, got 'postgresql://…@db.test/jobs'"),
    ):
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == 2, words
        assert said in " ".join(result.output.replace("│", " ").split()), words


@for_each(
    ("words", "expected"),
    [
        (("run", "jobs.jsonl", "--board", "abc", "-o", "out"), "(abc): expected JOBS only, and as the value of"),
        (("check", "a.jsonl", "b.jsonl"), "(b.jsonl): expected JOBS only"),
        (("balance", "now"), "(now): expected no argument"),
    ],
)
def test_an_argument_too_many_is_refused_with_those_that_are_expected(words: tuple[str, ...], expected: str) -> None:
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert expected in " ".join(refused.output.replace("\u2502", " ").split())
