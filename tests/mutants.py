"""Do the tests notice a fault? Run by hand: `python -m tests.mutants --seed 1 --count 120`.

Small faults are put into a copy of the package, one at a time, and the tests of the changed module are run. A fault
that leaves them green has survived: a test is missing, or the fault changes nothing that anybody can see. The same
seed, count and code give the same faults. Each takes some seconds, so this stays out of the checks of every change.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
AREAS = {
    "aimlvideo/core": ("tests/core", "tests/pipeline", "tests/test_client.py"),
    "aimlvideo/pipeline": ("tests/pipeline", "tests/test_client.py", "tests/test_crash_points.py"),
    "aimlvideo/shell": ("tests/shell", "tests/pipeline", "tests/test_client.py"),
}
"""The tests of each area, which are run for a fault there beside all that import the module."""
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
SPEECH = ("log", "warnings", "step_log")
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
    mutants = []
    for node, text in _changes(ast.parse(source)):
        start = lines[node.lineno - 1] + node.col_offset
        end = lines[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        mutants.append(Mutant(path, node.lineno, start, end, source[start:end].decode(), text))
    return mutants


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
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords") and isinstance(
            node, ast.stmt | ast.arg
        ):
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
    return isinstance(node, ast.Assert) or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")


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


def chosen_tests(path: str, tree: Path) -> list[str]:
    """Return the test files of a module's area, and those that import it; the quickest and nearest come first."""
    area = next(area for area in AREAS if path.startswith(area))
    module = path.removesuffix(".py").replace("/", ".")
    texts = {file: file.read_text() for file in _test_files(tree / "tests") if "distributed" not in file.parts}
    own = {file for place in AREAS[area] for file in _test_files(tree / place)}
    files = [file for file, text in texts.items() if file in own or module in text]
    files.sort(key=lambda file: ("pytest.mark.long" in texts[file], file not in own, module not in texts[file]))
    return [str(file.relative_to(tree)) for file in files]


def _test_files(place: Path) -> list[Path]:
    return sorted(place.rglob("test_*.py")) if place.is_dir() else [place] if place.exists() else []


def try_out(mutant: Mutant, tree: Path, limits: Mapping[str, float]) -> str:
    """Put a fault into a copy of the project, run its tests, and take it out again."""
    file = tree / mutant.path
    whole = file.read_bytes()
    file.write_bytes(mutant.applied_to(whole))
    try:
        return run_tests(chosen_tests(mutant.path, tree), tree, limits[mutant.area])
    finally:
        file.write_bytes(whole)


def run_tests(tests: list[str], tree: Path, seconds: float | None = None) -> str:
    """Return "SURVIVED" where the tests are green, "noticed" where they are red, "hung" where they do not end."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not browser", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return "noticed" if process.wait(seconds) else "SURVIVED"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        return "hung"


def measure(mutants: list[Mutant], say: Callable[[str], None]) -> list[str]:
    """Try each fault and return what came of it. Tests have four times as long as they take without a fault."""
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "project"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache"))
        limits = {}
        for area, path in {mutant.area: mutant.path for mutant in mutants}.items():
            began = time.monotonic()
            if run_tests(chosen_tests(path, tree), tree) != "SURVIVED":
                raise SystemExit(f"the tests of {path} fail without any fault: mend them first")
            limits[area] = 60 + 4 * (time.monotonic() - began)
        for number, mutant in enumerate(mutants, 1):
            verdicts.append(try_out(mutant, tree, limits))
            say(f"{number}/{len(mutants)} {verdicts[-1]} {mutant}")
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
    options = parser.parse_args()
    mutants = choose(options.seed, options.count, options.only)
    print(table(mutants, measure(mutants, lambda line: print(line, flush=True))))


if __name__ == "__main__":
    main()
