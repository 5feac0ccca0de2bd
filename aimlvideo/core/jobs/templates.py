"""One template for many jobs: every combination of the lists under `matrix`.

    {"id": "dance", "matrix": {"model": ["a", "b"], "prompt": ["x", "y", "z"]}, "image_url": "a.png"}

makes six jobs, `dance-1` to `dance-6`, the last list fastest. A parameter that is itself a list stands in one more
list: `{"matrix": {"image_list": [["a.png", "b.png"], ["c.png", "d.png"]]}}` are two jobs with two pictures each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

from aimlvideo.core.formatting import preview
from aimlvideo.errors import UsageError

MATRIX = "matrix"
"""The field of a template; also the name under which a journal has that its jobs were combined."""
MAX_COMBINATIONS = 1_000_000
"""Jobs of one template at most."""


def expand(template: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each combination as a plain job; a template without `matrix` is its own and only one.

    With an `id`, each gets that and a number; without one, ids follow from the content as always.
    """
    axes = _axes(template)
    fixed = {name: value for name, value in template.items() if name != MATRIX}
    if MATRIX not in template:
        yield fixed
        return
    if (total := _count(template)) > MAX_COMBINATIONS:
        # Python refuses to write numbers of more than 4300 digits, which a few long axes reach.
        many = f"{total:,}" if total < 10**30 else "more than 10^30"
        raise UsageError(f"matrix: {many} combinations; at most {MAX_COMBINATIONS:,} in one template")
    width = len(str(total))
    for number, values in enumerate(product(*axes.values()), 1):
        job = {**fixed, **dict(zip(axes, values, strict=True))}
        if "id" in fixed:
            job["id"] = f"{fixed['id']}-{number:0{width}}"
        yield job


def _count(template: Mapping[str, Any]) -> int:
    """Return how many jobs a template makes, without making them."""
    return prod(len(values) for values in _axes(template).values())


def _axes(template: Mapping[str, Any]) -> dict[str, list[Any]]:
    axes = template.get(MATRIX, {})
    if not isinstance(axes, Mapping):
        example = '{"model": [...], "prompt": [...]}'
        raise UsageError(f"matrix: expected an object of lists, as {example}, got {preview(axes)}")
    for name, values in axes.items():
        if not isinstance(values, list | tuple) or not values:
            raise UsageError(f"matrix.{name}: expected a list of at least one value, got {preview(values)}")
        if name == "id":
            raise UsageError("matrix.id: expected the id outside of the matrix: its jobs are numbered by it")
        if name in template:
            raise UsageError(f"matrix.{name}: expected once, got outside of the matrix, too: leave one of the two out")
    return {name: list(values) for name, values in axes.items()}
