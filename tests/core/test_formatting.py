"""Commands as they are said to people: each can be pasted into a shell."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from unittest import mock

from aimlvideo.core.formatting import command_line
from tests.cases import for_each


@for_each("name", ["clips", "my clips", "it's", "-rf", "--json", "$(x)", "a\nb", "*", "sub/-x"])
def test_a_folder_is_never_taken_for_an_option_or_for_two_words(name: str) -> None:
    *_, word = shlex.split(command_line("resume", Path(name)))
    assert not word.startswith("-")
    assert Path(word) == Path(name)


@for_each(
    ("word", "shown"),
    [
        ("clips\\run", "clips\\run"),
        ("C:\\clips", "C:\\clips"),
        ("my clips", '"my clips"'),
        ("C:\\my clips\\", '"C:\\my clips\\\\"'),
        ("clips & co", '"clips & co"'),
        ('a "fox"', '"a \\"fox\\""'),
        ("café", "café"),
    ],
)
def test_on_windows_a_command_is_quoted_as_its_own_shell_reads_it(word: str, shown: str) -> None:
    with mock.patch.object(sys, "platform", "win32"):
        assert command_line("run", word) == f"aimlvideo run {shown}"
