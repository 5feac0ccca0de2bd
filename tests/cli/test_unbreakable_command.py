"""Signals, pipes, code pages and what a service says: the command ends in good order, and its screen is its own."""

from __future__ import annotations

import json
import logging
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aimlvideo.cli.app import _PrintableFormatter
from aimlvideo.cli.options import _key_of, read_secret
from aimlvideo.cli.signals import output_or_end
from aimlvideo.cli.terminal import Terminal
from aimlvideo.errors import UsageError
from aimlvideo.views.console import Screen
from tests.cases import for_each
from tests.cli.conftest import Command
from tests.cli.test_command import JOB, write_jobs
from tests.servers import sandbox_thread
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def signals_are_heard() -> Iterator[None]:
    """Let what is started here listen, also where whoever started the tests ignores its signals."""
    numbers = (signal.SIGINT, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def started(folder: Path, url: str, *more: str, **environment: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "aimlvideo", "run", "jobs.jsonl", "-o", "out", "--poll", "every:0.2", *more]
    variables = {**os.environ, "AIMLAPI_BASE_URL": url, "AIMLAPI_API_KEY": "k", **environment}
    return subprocess.Popen(words, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.long
@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGHUP,), (signal.SIGTERM, signal.SIGINT)])
def test_signals_that_come_together_are_one_and_end_the_run_in_good_order(
    tmp_path: Path, signals: tuple[signal.Signals, ...]
) -> None:
    with sandbox_thread(seconds=30) as sandbox:
        write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "one"})
        run = started(tmp_path, sandbox.url)
        wait_until(lambda: sandbox.stats()["accepted"], "the job to be accepted", run)
        for number in signals:
            run.send_signal(number)
        out, errors = run.communicate(timeout=25)
    assert run.returncode == 3, errors
    assert b"1 rendering" in out
    assert b"aimlvideo run jobs.jsonl -o out" in out
    assert b"Traceback" not in out + errors


def interrupted(folder: Path, *lines: str) -> subprocess.CompletedProcess[bytes]:
    """Run `aimlvideo --version` in a process of its own, behind these lines of Python."""
    program = ["import os, signal, sys", "from aimlvideo.__main__ import main", "sys.argv = ['aimlvideo', '--version']"]
    program += ["def interrupt():", "    os.kill(os.getpid(), signal.SIGINT)"]
    (folder / "interrupted.py").write_text("\n".join([*program, *lines, "main()"]))
    places = os.pathsep.join([str(folder), *sys.path])
    words = [sys.executable, "-m", "interrupted"]
    return subprocess.run(words, env={**os.environ, "PYTHONPATH": places}, capture_output=True, check=False)


def test_a_signal_in_code_that_python_makes_at_the_start_ends_with_3_too(tmp_path: Path) -> None:
    ended = interrupted(
        tmp_path,
        "from aimlvideo.cli import signals",
        "def stop():",
        "    exec('raise KeyboardInterrupt')  # as in a dataclass that is just being made",
        "signals._fill_closed_streams = stop",
    )
    assert ended.returncode == 3, ended.stderr


def test_a_signal_between_two_steps_of_what_reads_the_command_ends_with_3_too(tmp_path: Path) -> None:
    ended = interrupted(
        tmp_path,
        "from aimlvideo.cli.app import _Commands",
        "def stop(*words, **extra):",
        "    raise KeyboardInterrupt",
        "_Commands.make_context = stop",
    )
    assert ended.returncode == 3, ended.stderr


def test_two_signals_before_the_command_hears_any_end_it_with_3_and_without_a_word(tmp_path: Path) -> None:
    ended = interrupted(
        tmp_path,
        "import gc",
        "from aimlvideo.cli import signals",
        "signals._fill_closed_streams = gc.freeze = interrupt  # one at the beginning, one at the end",
    )
    assert (ended.returncode, ended.stderr) == (3, b"")


def test_a_signal_after_the_command_has_ended_changes_nothing(tmp_path: Path) -> None:
    ended = interrupted(tmp_path, "import atexit", "atexit.register(interrupt)")
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_signal_where_python_lets_no_exception_out_ends_the_command_all_the_same(tmp_path: Path) -> None:
    ended = interrupted(
        tmp_path,
        "from aimlvideo.cli import signals",
        "class Deleted:",
        "    def __del__(self):",
        "        interrupt()",
        "signals._flush = lambda: Deleted() and None",
    )
    assert (ended.returncode, ended.stderr) == (3, b"interrupted: give the same command again\n")


@pytest.mark.long
def test_a_reader_that_goes_away_ends_the_run_with_3_and_no_traceback(tmp_path: Path) -> None:
    with sandbox_thread(seconds="uniform:0.1,2") as sandbox:
        write_jobs(
            tmp_path / "jobs.jsonl", *({**JOB, "id": f"job{number}", "prompt": f"{number}"} for number in range(6))
        )
        run = started(tmp_path, sandbox.url, "--json")
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()  # it ends with the process, and the process with its deadline
        run.stdout.close()
        errors = run.stderr.read()
        run.stderr.close()
        assert run.wait(25) == 3, errors
    assert b"Traceback" not in errors
    assert b"BrokenPipe" not in errors


@pytest.mark.long
def test_json_is_utf_8_whatever_the_code_page(tmp_path: Path) -> None:
    with sandbox_thread() as sandbox:
        write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "кадр-💃"})
        run = started(tmp_path, sandbox.url, "--json", PYTHONIOENCODING="cp1252")
        out, errors = run.communicate(timeout=25)
    assert run.returncode == 0, errors
    assert json.loads(out.decode("utf-8"))["id"] == "кадр-💃"


def test_what_a_service_says_never_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bad = "\x1b]0;title\x07\x1b[2Jgone\x9b31m \ud800"
    screen = Screen()
    screen.line(bad, "error:", "red")
    screen.table(["what"], [[bad]])
    Terminal().say(bad)
    Terminal(json=True).problem(bad)
    shown = "".join(capsys.readouterr())
    assert shown.count("gone") == 4
    record = logging.LogRecord("a", logging.ERROR, "", 1, "%s", (bad,), None)
    for text in (shown, _PrintableFormatter().format(record)):
        assert "gone" in text
        assert not any(letter in text for letter in "\x1b\x07\x9b\ud800")


def test_a_key_is_read_from_a_file_that_no_list_of_processes_shows(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret-1\n")
    assert _key_of(f"@{tmp_path / 'key'}") == "secret-1"
    assert _key_of("plain") == "plain"
    assert _key_of(None) is None
    with pytest.raises(UsageError, match="No such file"):
        _key_of(f"@{tmp_path / 'none'}")


@for_each(
    ("name", "message"),
    [
        ("/dev/zero", "too long: expected a file that has the DSN, and nothing else"),
        ("/dev/null", "empty: expected a file that has the DSN"),
        ("/dev", "Is a directory"),
        ("a\0b", "it is not text"),
        ("~nobody-here/dsn", "that home folder is not known"),
    ],
)
def test_a_file_of_a_secret_that_is_none_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_secret("--dsn-file ", name, "the DSN")


@for_each("arguments", [["status", "--dsn-file"], ["init", "--model"], ["check", "jobs.jsonl", "--set"]])
def test_a_dsn_in_the_wrong_place_is_no_password_on_the_screen(
    command: Command, tmp_path: Path, arguments: list[str]
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", JOB)
    result = command(*arguments, "postgresql://me:secret-word@db.test/jobs")
    assert result.exit_code == 2
    assert "db.test" in result.output
    assert "secret-word" not in result.output


def test_words_of_any_language_are_understood_where_the_locale_has_ascii_only(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
    }
    words = ["init", "Füchse 🦊.jsonl", "--model", "alibaba/wan-2-6-t2v"]
    done = subprocess.run(
        [sys.executable, "-m", "aimlvideo", *words], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Füchse 🦊.jsonl" in done.stdout.decode()
    assert (tmp_path / "Füchse 🦊.jsonl").is_file()


def test_ctrl_c_ends_a_question_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: object) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", pressed)
    later: list[int] = []
    # As a run hears it: the loop is told, which goes on only when the question was answered.
    signal.signal(signal.SIGINT, lambda number, _: later.append(number))
    with pytest.raises(KeyboardInterrupt):
        Terminal().confirm("Start this run?")
    os.kill(os.getpid(), signal.SIGINT)
    assert later == [signal.SIGINT], "what heard signals before hears them again"


def test_a_file_for_the_keys_of_tls_that_cannot_be_written_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/none/keys.log")
    with pytest.raises(SystemExit) as end, output_or_end():
        ssl.create_default_context()
    assert end.value.code == 2
    said = "SSLKEYLOGFILE is '/none/keys.log': No such file or directory; expected a file that can be written"
    assert said in capfd.readouterr().err


def test_a_python_without_sqlite_is_said_in_words(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, output_or_end():
        raise ModuleNotFoundError("No module named '_sqlite3'", name="_sqlite3")
    assert end.value.code == 2
    assert "this Python was built without _sqlite3: expected one with its whole" in capfd.readouterr().err
    with pytest.raises(ModuleNotFoundError), output_or_end():
        raise ModuleNotFoundError("No module named 'fox'", name="fox")
