"""Commands as they are said to people: each can be pasted into a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

from aimlvideo.core.formatting import command_line
from tests.cases import for_each


@for_each("name", ["clips", "my clips", "it's", "-rf", "--json", "$(x)", "a\nb", "*", "sub/-x"])
def test_a_folder_is_never_taken_for_an_option_or_for_two_words(name: str) -> None:
    *_, word = shlex.split(command_line("resume", Path(name)))
    assert not word.startswith("-")
    assert Path(word) == Path(name)
