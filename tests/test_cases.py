"""A test over many cases tries them all, and names each that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases import for_each, one_in


def test_every_case_is_tried_and_every_failing_one_is_named_with_its_error() -> None:
    tried: list[tuple[int, str]] = []

    @for_each("number", [1, pytest.param(2, id="two"), 3])
    @for_each("letter", "ab", ids=["first", "second"])
    def odd(number: int, letter: str) -> None:
        tried.append((number, letter))
        assert number == 3, f"{number} is not 3"

    with pytest.raises(ExceptionGroup, match=r"2 of 3 cases fail: \[1\], \[two\]") as caught:
        odd()  # type: ignore[call-arg]
    assert tried == [(number, letter) for number in (1, 2, 3) for letter in "ab"]
    assert "2 of 2 cases fail: [first], [second]" in str(caught.value.exceptions[0])


def test_one_failing_case_is_raised_as_it_is() -> None:
    @for_each(("number", "name"), [(1, "one"), (2, "two")])
    def small(number: int, name: str) -> None:
        assert number < 2, name

    with pytest.raises(AssertionError, match="two") as caught:
        small()  # type: ignore[call-arg]
    assert caught.value.__notes__ == ["the case [2-'two']"]


def test_each_case_has_a_folder_of_its_own(tmp_path: Path) -> None:
    @for_each("number", [1, 2])
    @for_each("letter", "ab")
    def write(tmp_path: Path, number: int, letter: str) -> None:
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "file").write_text(f"{number}{letter}")

    write(tmp_path=tmp_path)  # type: ignore[call-arg]
    assert sorted(file.read_text() for file in tmp_path.rglob("file")) == ["1a", "1b", "2a", "2b"]


async def test_a_coroutine_is_awaited_for_each_case() -> None:
    @for_each("number", [1, 2])
    async def never(number: int) -> None:
        raise ValueError(number)

    with pytest.raises(ExceptionGroup, match=r"2 of 2 cases fail: \[1\], \[2\]"):
        await never()  # type: ignore[call-arg]


def test_a_name_that_the_test_does_not_take_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"\['letter'\] are no arguments of small"):

        @for_each("letter", "ab")
        def small(number: int) -> None:
            """Take a number."""


def test_of_a_table_every_third_case_is_for_every_day_and_each_keeps_its_name() -> None:
    mark = one_in(3, "number, name", [(1, "one"), pytest.param(2, "two", id="second"), (3, "three"), (4, "four")]).mark
    names, table = mark.args
    assert names == "number, name"
    assert [(case.values, case.id, [one.name for one in case.marks]) for case in table] == [
        ((1, "one"), None, []), ((2, "two"), "second", ["long"]),
        ((3, "three"), None, ["long"]), ((4, "four"), None, []),
    ]  # fmt: skip
    assert [case.values for case in one_in(2, "pair", [(1, 2), (3, 4)]).mark.args[1]] == [((1, 2),), ((3, 4),)]
