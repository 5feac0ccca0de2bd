"""The list of models: what is no filter is said, and what nothing passes is named."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Command


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--max-price", "0"], "no model matches --max-price"),
        (["--max-price", "nan"], "--max-price is nan: expected US dollars, 0 or more"),
        (["--max-price", "-1"], "--max-price is -1.0: expected US dollars, 0 or more"),
        (["--example"], "--example prints a line for one model: expected its name"),
    ],
)
def test_what_is_no_filter_is_said(command: Command, words: list[str], reason: str) -> None:
    refused = command("models", *words)
    assert refused.exit_code == 2
    assert reason in refused.output
