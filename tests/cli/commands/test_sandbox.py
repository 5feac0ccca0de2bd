"""The sandbox as a command: its settings."""

from __future__ import annotations

from dataclasses import fields

import pytest

from aimlvideo.sandbox import Behaviour
from tests.cli.conftest import Command


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--set", "port=1"], "the port is given by --port"),
        (["--port", "99999"], "expected a free port"),
        (["--set", "host=1"], "no setting 'host'"),
        (["--seconds", "nan"], "seconds is a number"),
        (["--set", "x"], "--set is 'x': expected NAME=VALUE"),
        (["--set", f"hostile_at={'[' * 5000}"], "hostile_at: should be a valid tuple"),
    ],
)
def test_what_is_no_setting_of_the_sandbox_is_said(command: Command, words: list[str], reason: str) -> None:
    refused = command("sandbox", "--port", 0, *words)
    assert refused.exit_code == 2
    assert reason in refused.output
    assert len(refused.output) < 1000


def test_every_setting_is_listed_with_its_default_and_its_meaning(command: Command) -> None:
    listed = command("sandbox", "--settings").output.splitlines()
    rows = {row[0]: row for line in listed if (row := line.strip().split(maxsplit=2))}
    assert rows.keys() >= {field.name for field in fields(Behaviour)}
    assert all(len(rows[field.name]) == 3 for field in fields(Behaviour))
    assert rows["balance"][1] == "100000.0"
    assert rows["balance"][2].startswith("USD on the account; clips are charged as they complete")
