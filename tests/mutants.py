"""Do the tests notice a fault? Run by hand: `python -m tests.mutants --seed 1 --count 120`.

Small faults are put into a copy of the package, one at a time, and the tests that run the changed function are run. A
fault that leaves them green has survived: a test is missing, or the fault changes nothing that anybody can see. The
same seed, count and code give the same faults. Which test runs which function is recorded once and kept beside this
project, in `.mutants_cache`; a test file that has changed is recorded again. Each fault takes some seconds, so this
stays out of the checks of every change.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from types import CodeType, FrameType

import pytest

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".mutants_cache" / "calls.json"
AREAS = tuple(f"aimlvideo/{area}" for area in ("core", "pipeline", "shell", "distributed", "views", "cli"))
TESTS = ("tests/pipeline", "tests/core", "tests", "tests/shell", "tests/views", "tests/distributed", "tests/cli")
"""Whose test files may notice a fault: `tests` means those of that folder itself."""
IMPORTED_BEFORE = ("aiohttp.web", "anyio", "hypothesis", "jinja2", "pydantic", "pytest_asyncio", "rich", "typer")
"""What no fault changes, imported once: each run of tests is forked from a process that has it."""
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-m", "not browser", "-W", "ignore:Module already imported")
FLIPPED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
NOT_RUN = ("annotation", "returns", "decorator_list", "bases", "keywords")
SPEECH = ("log", "warnings")
"""What is called here only says something: nobody has to notice whether it is said."""


@dataclass(frozen=True)
class Mutant:
    """One fault: bytes `start` to `end` of a file become `text`."""

    path: str
    line: int
    start: int
    end: int
    before: str
    text: str
    function: str
    """Whose call runs it, as Python qualifies the name; "" where importing the module does."""

    @property
    def area(self) -> str:
        """The area of the package that it is in."""
        return next(area for area in AREAS if self.path.startswith(area))

    def applied_to(self, source: bytes) -> bytes:
        """Return the file's content with the fault in it."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def __str__(self) -> str:
        return f"{self.path}:{self.line}\n    - {_on_one_line(self.before)}\n    + {_on_one_line(self.text)}"


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """Return every fault that this program knows how to make in a file."""
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    mutants, tree = [], ast.parse(source)
    functions = list(_functions(tree, ""))
    for node, text in _changes(tree):
        start = lines[node.lineno - 1] + node.col_offset
        end = lines[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        around = [name for name, first, last in functions if first <= (node.lineno, node.col_offset) < last]
        function = around[-1] if around else ""
        mutants.append(Mutant(path, node.lineno, start, end, source[start:end].decode(), text, function))
    return mutants


def _functions(node: ast.AST, inside: str) -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
    """Give each function's qualified name, where its body begins and where it ends; the outer one comes first."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            first, last = part.body[0], part.body[-1]
            name = inside + part.name
            end = (last.end_lineno or last.lineno, last.end_col_offset or 0)
            yield name, (first.lineno, first.col_offset), end
            yield from _functions(part, f"{name}.<locals>.")
        else:
            yield from _functions(part, f"{inside}{part.name}." if isinstance(part, ast.ClassDef) else inside)


def _changes(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Give each part of a module that can be wrong, and how it looks then."""
    for node in _parts_that_run(tree):
        if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, ast.Compare | ast.Constant):
            yield node.test, f"(not {_in_brackets(node.test)})"
        if isinstance(node, ast.expr):
            yield from ((node, text) for text in _wrong_values(node))
        elif isinstance(node, ast.stmt):
            yield from ((node, text) for text in _wrong_statements(node))


def _wrong_values(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Compare(ops=[op]):
            for other in FLIPPED.get(type(op), ()):
                yield _in_brackets(_with(node, ops=[other()]))
        case ast.BoolOp():
            yield _in_brackets(_with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And()))
        case ast.UnaryOp(op=ast.Not()):
            yield _in_brackets(node.operand)
        case ast.BinOp() if type(node.op) in ARITHMETIC and not _is_text(node):
            yield _in_brackets(_with(node, op=ARITHMETIC[type(node.op)]()))
        case ast.Constant(value=bool()):
            yield str(not node.value)
        case ast.Constant(value=int() | float()):
            yield str(2 * node.value if node.value not in (0, 1) else 1 - node.value)
        case ast.Call(func=ast.Name(id=name)) if name in SWAPPED and len(node.args) > (name in ("min", "max")):
            yield ast.unparse(_with(node, func=ast.Name(SWAPPED[name])))


def _wrong_statements(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.AugAssign() if type(node.op) in ARITHMETIC:
            yield ast.unparse(_with(node, op=ARITHMETIC[type(node.op)]()))
            yield "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "pass"
        case ast.Expr(value=ast.Call() | ast.Await()) if not _only_speaks(node.value):
            yield "pass"


def _parts_that_run(node: ast.AST) -> Iterator[ast.AST]:
    """Give all parts of a module but annotations, decorators, classes of constants' defaults and what is only said."""
    for name, value in ast.iter_fields(node):
        if name in NOT_RUN and isinstance(node, ast.stmt | ast.arg):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST) and not _only_speaks(getattr(part, "value", None)) and not _is_for_types(part):
                yield part
                if not isinstance(part, ast.Raise | ast.JoinedStr):
                    yield from _parts_that_run(part)


def _only_speaks(node: object) -> bool:
    if isinstance(node, ast.Await):
        node = node.value
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    return isinstance(node.func.value, ast.Name) and node.func.value.id in SPEECH


def _is_for_types(node: ast.AST) -> bool:
    """Tell what stands there for a type checker, or asserts what is true in any case."""
    if isinstance(node, ast.Assert) or (isinstance(node, ast.keyword) and node.arg == "strict"):
        return True
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(part, ast.JoinedStr) or isinstance(getattr(part, "value", None), str) for part in ast.walk(node)
    )


def _with(node: ast.expr | ast.stmt, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _in_brackets(node: ast.AST) -> str:
    return f"({ast.unparse(node)})"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())[:160]


def choose(seed: int, count: int, only: str = "") -> list[Mutant]:
    """Draw faults, as many from each area, in modules whose path begins with `only`."""
    chance, chosen = random.Random(seed), []
    areas = [area for area in AREAS if area.startswith(only) or only.startswith(area)]
    for number, area in enumerate(areas):
        modules = sorted(path for path in (ROOT / area).rglob("*.py") if str(path.relative_to(ROOT)).startswith(only))
        mutants = [one for path in modules for one in mutants_of(str(path.relative_to(ROOT)), path.read_bytes())]
        share = count // len(areas) + (number < count % len(areas))
        chosen += sorted(chance.sample(mutants, min(share, len(mutants))), key=lambda one: (one.path, one.start))
    return chosen


@dataclass
class Recorder:
    """A plugin of pytest that notes for each test how long it takes and which functions of the package it calls."""

    package: str
    tests: dict[str, tuple[float, list[str]]] = field(default_factory=dict)
    """Seconds of work and functions of each test that passes."""
    _codes: set[CodeType] = field(default_factory=set)
    _began: float = 0.0

    def pytest_runtest_logstart(self) -> None:
        self._began = process_time()
        self._codes.clear()
        threading.settrace(self._note)
        sys.settrace(self._note)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.tests[report.nodeid] = (process_time() - self._began, [])
        elif report.failed:
            self.tests.pop(report.nodeid, None)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        sys.settrace(None)
        if nodeid in self.tests:
            codes = [code for code in self._codes if code.co_filename.startswith(self.package)]
            self.tests[nodeid][1].extend(sorted({self._name(code) for code in codes}))

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        self._codes.add(frame.f_code)

    def _name(self, code: CodeType) -> str:
        """Return a function's file and name. A lambda and what a comprehension runs belong to what they stand in."""
        name = code.co_qualname
        while name.endswith(">"):
            name = name.rpartition(".")[0].removesuffix(".<locals>")
        return f"aimlvideo{code.co_filename.removeprefix(self.package)}:{name}"


@dataclass(frozen=True)
class Selection:
    """A plugin of pytest that runs some tests of what it has collected, the quickest first."""

    seconds: dict[str, float]
    """Test ids, with how long each takes without a fault."""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        _end_after(15 + 20 * self.seconds[nodeid])

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self.seconds), key=lambda item: self.seconds[item.nodeid]
        )


class Tree:
    """A copy of the project in which faults are tried, and what its tests call."""

    def __init__(self, place: Path, longest: float, say: Callable[[str], None]) -> None:
        self.place, self.longest = place, longest
        shutil.copytree(ROOT, place, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache"))
        self.files: dict[str, dict[str, tuple[float, list[str]]]] = {}
        self._record(say)

    def _record(self, say: Callable[[str], None]) -> None:
        recorded = json.loads(CACHE.read_text()) if CACHE.exists() else {}
        CACHE.parent.mkdir(exist_ok=True)
        for file in _test_files(self.place):
            digest = hashlib.sha256((self.place / file).read_bytes()).hexdigest()
            if recorded.get(file, {}).get("digest") != digest:
                say(f"recording what {file} calls")
                recorded[file] = {"digest": digest, "tests": self._calls(file)}
                CACHE.write_text(json.dumps(recorded))
            self.files[file] = recorded[file]["tests"]

    def _calls(self, file: str) -> dict[str, tuple[float, list[str]]]:
        written = self.place / "recorded.json"
        written.unlink(missing_ok=True)

        def record() -> int:
            recorder = Recorder(str(self.place / "aimlvideo"))
            pytest.main([option for option in (*OPTIONS, file) if option != "-x"], [recorder])
            written.write_text(json.dumps(recorder.tests))
            return 0

        self._fork(record)
        return dict(json.loads(written.read_text())) if written.exists() else {}

    def tests_of(self, mutant: Mutant) -> dict[str, dict[str, float]]:
        """Return the tests that run the changed function, by file: the nearest files first, then the quickest."""
        module = mutant.path.removeprefix("aimlvideo/").removesuffix(".py")
        called = f"{mutant.path}:{mutant.function}"
        # What runs on import, and a function that is newer than the recording: whatever has to do with the module.
        is_called = bool(mutant.function) and any(
            called in calls for tests in self.files.values() for _, calls in tests.values()
        )
        chosen = {}
        for file, tests in self.files.items():
            imports = mutant.path.removesuffix(".py").replace("/", ".") in (self.place / file).read_text()
            seconds = {
                test: duration
                for test, (duration, calls) in tests.items()
                if (called in calls if is_called else imports or any(c.startswith(f"{mutant.path}:") for c in calls))
            }
            if seconds:
                mirrors = file == f"tests/{Path(module).parent}/test_{Path(module).name}.py"
                chosen[file] = (not mirrors, sum(seconds.values()) / (1 + imports), seconds)
        ordered = sorted(chosen, key=lambda file: chosen[file][:2])
        return {file: chosen[file][2] for file in ordered}

    def try_out(self, mutant: Mutant, number: int) -> str:
        """Return "SURVIVED" where the tests are green, "noticed" where they are red, "hung" where they do not end."""
        file = self.place / mutant.path
        whole, status = file.read_bytes(), file.stat()
        tests = self.tests_of(mutant)
        file.write_bytes(mutant.applied_to(whole))
        # Python takes compiled code as current by its file's time: each fault has one of its own.
        os.utime(file, (status.st_atime, status.st_mtime + 10 * (number + 1)))
        try:
            return self._fork(lambda: _first_failure(tests, self.longest))
        finally:
            file.write_bytes(whole)
            os.utime(file, (status.st_atime, status.st_mtime))

    def _fork(self, work: Callable[[], int]) -> str:
        """Work in a process of its own, which is forked from this one: what it imports first is there already."""
        child = os.fork()
        if not child:
            code = 3
            try:
                self._become_a_run_of_tests()
                code = work()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what its tests have started and not ended
        if os.WIFSIGNALED(status):
            return "hung" if os.WTERMSIG(status) == signal.SIGALRM else "noticed"
        return "noticed" if os.WEXITSTATUS(status) else "SURVIVED"

    def _become_a_run_of_tests(self) -> None:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        os.chdir(self.place)
        os.environ["PYTHONPATH"] = str(self.place)
        sys.path[:] = [str(self.place), *(place for place in sys.path if place not in ("", str(ROOT)))]
        for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "aimlvideo")]:
            del sys.modules[name]
        importlib.invalidate_caches()


def _test_files(place: Path) -> list[str]:
    patterns = [f"{folder}/{'*' if folder == 'tests' else '**/*'}" for folder in TESTS]
    files = (file for pattern in patterns for file in sorted(place.glob(pattern)))
    return [str(file.relative_to(place)) for file in files if file.name.startswith("test_") and file.suffix == ".py"]


def _first_failure(tests: dict[str, dict[str, float]], longest: float) -> int:
    """Run tests file by file until one fails, or they have worked so many seconds: 1 after a failure, else 0."""
    spent = 0.0
    for file, seconds in tests.items():
        if spent and spent + sum(seconds.values()) > longest:
            continue
        spent += sum(seconds.values())
        _end_after(120)
        if pytest.main([*OPTIONS, file], [Selection(seconds)]) not in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            return 1
    return 0


def _end_after(seconds: float) -> None:
    """Let this process be ended by a signal, if it does not say anything else by then."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def measure(mutants: Iterable[Mutant], longest: float, say: Callable[[str], None]) -> list[str]:
    """Try each fault with tests that work at most so many seconds, and return what came of it."""
    for module in IMPORTED_BEFORE:
        importlib.import_module(module)
    verdicts: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder) / "project", longest, say)
        for number, mutant in enumerate(mutants, 1):
            verdicts.append(tree.try_out(mutant, number))
            say(f"{number} {verdicts[-1]} {mutant}")
    return verdicts


def table(mutants: list[Mutant], verdicts: list[str]) -> str:
    """Return how many faults were noticed: a row for each module, each area, and all. One that hangs is noticed too."""
    rows = [f"{'':50} faults  noticed  by hanging"]
    for name in (*sorted({mutant.path for mutant in mutants}), *AREAS, ""):
        results = [verdict for mutant, verdict in zip(mutants, verdicts, strict=True) if mutant.path.startswith(name)]
        noticed = len(results) - results.count("SURVIVED")
        if results:
            share = f"{noticed / len(results):4.0%}"
            rows.append(f"{name or 'all':50} {len(results):6}  {noticed:7}  {results.count('hung'):10}  {share}")
    survivors = [mutant for mutant, verdict in zip(mutants, verdicts, strict=True) if verdict == "SURVIVED"]
    return "\n".join([*rows, "", *map(str, survivors)])


def main() -> None:
    """Measure, and print the table with what was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--only", default="", help="modules whose path begins so: aimlvideo/pipeline")
    parser.add_argument(
        "--seconds",
        type=float,
        default=120.0,
        help="work of tests that is tried on one fault at most; the nearest and quickest come first",
    )
    options = parser.parse_args()
    mutants = choose(options.seed, options.count, options.only)
    if not mutants:
        parser.error(f"--only is {options.only!r}: expected the beginning of a path in one of {', '.join(AREAS)}")
    print(table(mutants, measure(mutants, options.seconds, lambda line: print(line, flush=True))))


if __name__ == "__main__":
    main()
