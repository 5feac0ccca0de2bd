"""One test over many cases, each tried and named where it fails; and tables that are long but for a part of them."""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import pytest
from _pytest.mark import ParameterSet

Test = TypeVar("Test", bound=Callable[..., Any])
Ids = Iterable[Any] | Callable[[Any], Any] | None


def for_each(names: str | Sequence[str], cases: Iterable[Any], ids: Ids = None) -> Callable[[Test], Test]:
    """Do as `pytest.mark.parametrize` does, within one test: to collect and report a case costs more than most cases.

    The cases share the test's fixtures, so none of them may leave anything behind, but each has a `tmp_path` of its
    own. Several may stand above each other.
    """
    arguments = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    listed = _Cases(arguments, cases, ids)

    def join(test: Test) -> Test:
        signature = inspect.signature(test)
        assert set(arguments) <= signature.parameters.keys(), f"{arguments} are no arguments of {test.__name__}"

        @functools.wraps(test)
        def each(**fixtures: Any) -> None:
            failures = _Failures()
            for attempt, values in listed.tried(failures, fixtures):
                with attempt:
                    test(**values)
            failures.report()

        @functools.wraps(test)
        async def each_awaited(**fixtures: Any) -> None:
            failures = _Failures()
            for attempt, values in listed.tried(failures, fixtures):
                with attempt:
                    await test(**values)
            failures.report()

        joined: Any = each_awaited if inspect.iscoroutinefunction(test) else each
        rest = [one for one in signature.parameters.values() if one.name not in arguments]
        joined.__signature__ = signature.replace(parameters=rest)
        return joined  # type: ignore[no-any-return]

    return join


def one_in(step: int, names: str | Sequence[str], cases: Iterable[Any], ids: Ids = None) -> pytest.MarkDecorator:
    """Do as `pytest.mark.parametrize` does; every `step`th case is one for every day, the others are `long`."""
    alone = "," not in names if isinstance(names, str) else len(names) == 1
    table = [ParameterSet.extract_from(case, force_tuple=alone) for case in cases]
    marked = [
        case if number % step == 0 else pytest.param(*case.values, marks=(*case.marks, pytest.mark.long), id=case.id)
        for number, case in enumerate(table)
    ]
    return pytest.mark.parametrize(names, marked, ids=ids)


class _Failures:
    def __init__(self) -> None:
        self._errors: list[Exception] = []
        self._cases = 0

    @contextmanager
    def attempt(self, name: Callable[[], str]) -> Iterator[None]:
        """Keep the error of a case, with the case's name."""
        self._cases += 1
        try:
            yield
        except Exception as error:
            error.add_note(f"the case [{name()}]")
            self._errors.append(error)

    def report(self) -> None:
        """Raise one failure as it is, and several together with the names of all."""
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            names = ", ".join(error.__notes__[-1].removeprefix("the case ") for error in self._errors)
            raise ExceptionGroup(f"{len(self._errors)} of {self._cases} cases fail: {names}", self._errors)


class _Cases:
    def __init__(self, arguments: list[str], cases: Iterable[Any], ids: Ids) -> None:
        self._arguments = arguments
        self._sets = [ParameterSet.extract_from(case, force_tuple=len(arguments) == 1) for case in cases]
        self._titles = list(ids) if isinstance(ids, Iterable) else None
        self._title_of = ids if callable(ids) else None
        assert self._sets, "no case to test"
        assert not any(case.marks for case in self._sets), "a case with a mark needs a test of its own"

    def tried(
        self, failures: _Failures, fixtures: dict[str, Any]
    ) -> Iterator[tuple[AbstractContextManager[None], dict[str, Any]]]:
        """Yield for each case the block that it is tried in, and its arguments."""
        for number, case in enumerate(self._sets):
            values = fixtures | dict(zip(self._arguments, case.values, strict=True))
            if "tmp_path" in fixtures:
                values["tmp_path"] = fixtures["tmp_path"] / f"case{number}"
                values["tmp_path"].mkdir()
            yield failures.attempt(functools.partial(self._title, number)), values

    def _title(self, number: int) -> str:
        case = self._sets[number]
        if isinstance(case.id, str):
            return case.id
        if self._titles is not None:
            return str(self._titles[number])
        return "-".join(str((self._title_of and self._title_of(value)) or _short(value)) for value in case.values)


def _short(value: Any) -> str:
    return str(getattr(value, "__name__", None) or reprlib.repr(value))
