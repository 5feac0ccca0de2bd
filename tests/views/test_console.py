"""What a terminal of 80 columns shows: nothing that matters is cut."""

from __future__ import annotations

import io
from unittest import mock

import pytest
from rich.console import Console

from aimlvideo.core.jobs.stages import Stage
from aimlvideo.views.console import Screen, _has_letters, _run_panel
from aimlvideo.views.snapshot import RunSnapshot
from tests.cases import for_each

LONG_NAME = "kling-video/v1.6/standard/multi-image-to-video"
SNAPSHOT = RunSnapshot(
    stages=dict.fromkeys(Stage, 12345),
    total=86415,
    pace=123.0,
    spent=12345.67,
    committed=1234.5,
    eta=(7200.0, 10800.0),
    failures=(("a-rather-long-name-of-a-job", "the prompt was refused by the moderation of the service: " * 2),),
    waiting_for=(
        "waiting for the network or the service, 30 s more: the connection to api.example.com was refused just now"
    ),
)


def rendered(width: int, draw: object) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width, force_terminal=False).print(draw)
    return text.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 60])
def test_a_long_block_is_wrapped_and_not_cut(width: int) -> None:
    lines = rendered(width, _run_panel(SNAPSHOT, width))
    assert max(map(len, lines)) <= width
    shown = " ".join(" ".join(lines).split())
    assert "…" not in shown
    for part in ("12,345.67 USD", "1,234.50 USD committed", "123 a minute", "up to 3 h", "was refused just now"):
        assert part in shown, shown
    for stage in Stage:
        assert f"{stage.replace('_', ' ')} 12,345" in shown
    assert SNAPSHOT.failures[0][1].strip() in shown


def test_names_that_people_copy_stay_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, text = Screen(), io.StringIO()
    monkeypatch.setattr(screen, "_console", Console(file=text, width=80))
    row = ("klingai (gateway)", LONG_NAME, "text, image, video", "sound", "127", "$0.10 to $0.20 a second")
    screen.table(("developer", "model", "takes", "", "seconds", "price"), [row])
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(LONG_NAME in line for line in lines)
    assert "…" not in text.getvalue()
    letters = "".join("".join(lines).split())
    assert sorted(letters) == sorted("developermodeltakessecondsprice" + "".join("".join(row).split()))


def test_the_block_has_the_colours_of_the_terminal_s_own_palette() -> None:
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True, color_system="truecolor", _environ={})
    console.print(_run_panel(SNAPSHOT, 80))
    assert "\x1b[32m━" in text.getvalue()
    assert "\x1b[38;2;" not in text.getvalue()


def test_nothing_in_a_line_is_coloured_for_being_a_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    Screen().line("3 of 4 saved, '0.35 USD'", "saved:", "green")
    assert capsys.readouterr().out == "\x1b[32msaved:\x1b[0m 3 of 4 saved, '0.35 USD'\n"


def test_a_stage_that_no_job_is_in_is_not_named() -> None:
    shown = "\n".join(rendered(80, _run_panel(SNAPSHOT._replace(stages={Stage.SAVED: 3, Stage.FAILED: 1}), 80)))
    assert "saved 3   " in shown
    assert not any(stage in shown for stage in ("ready", "rendering", "in doubt", "planned", "submitting"))


def test_the_block_is_gone_once_the_run_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, text = Screen(), io.StringIO()
    monkeypatch.setattr(screen, "_console", Console(file=text, width=80, force_terminal=True, _environ={}))
    with screen.block() as draw:
        draw(SNAPSHOT)
    height = len(rendered(80, _run_panel(SNAPSHOT, 80)))
    assert text.getvalue().endswith("\x1b[1A\x1b[2K" * height)


def test_what_is_piped_has_its_tables_wide_and_in_one_piece(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().table(("model", "takes"), [(LONG_NAME, "text, image, video " * 5)])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_where_colours_are_forced_a_log_still_gets_lines_and_wide_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    screen = Screen()
    assert not screen.is_interactive
    screen.table(("model", "takes"), [(LONG_NAME, "text, image, video " * 5)])
    assert len(capsys.readouterr().out.splitlines()) == 2


@for_each(
    ("environment", "in_place"), [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, False)]
)
def test_a_block_stays_in_place_on_a_terminal_that_can_move_back_and_takes_colours(
    environment: dict[str, str], in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, screen = io.StringIO(), Screen()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    screen._console = Console(file=terminal, _environ=environment)
    assert screen.is_interactive == in_place


def test_where_nobody_reads_on_it_is_the_command_that_says_how_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, pipe = Screen(), io.StringIO()
    monkeypatch.setattr(pipe, "write", mock.Mock(side_effect=BrokenPipeError))
    monkeypatch.setattr(screen._console, "file", pipe)
    with pytest.raises(BrokenPipeError):
        screen.line("1 of 2 saved")


@for_each(("coding", "plain"), [("utf-8", False), ("cp1252", True), ("latin-1", True), ("ascii", True)])
def test_a_terminal_that_lacks_the_letters_of_the_block_is_shown_others(coding: str, plain: bool) -> None:
    assert _has_letters(coding) == (not plain)
    shown = "\n".join(rendered(80, _run_panel(SNAPSHOT, 80, plain=plain)))
    assert ("━" in shown) is not plain
    assert "rendering 12,345" in shown
    assert shown.encode(coding)
    if plain:
        assert "=====" in shown


@for_each(
    ("answer", "agreed"), [("y", True), ("Yes ", True), ("", False), ("n", False), ("maybe", False), (None, False)]
)
def test_only_a_yes_is_a_yes_and_the_question_says_what_is_usual(answer: str | None, agreed: bool) -> None:
    shown = io.StringIO()
    screen = Screen(stderr=True)
    screen._console = Console(file=shown, width=80)

    def typed(*_: object) -> str:
        if answer is None:
            raise EOFError
        return answer

    with mock.patch("builtins.input", typed):
        assert screen.confirm("Start this run?") is agreed
    assert shown.getvalue() == "Start this run? [y/N] "
