"""The embedded sandbox, for commands that use it: it needs an extra, and is imported when it is used."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

from aimlvideo.errors import SettingsError, UsageError


@asynccontextmanager
async def sandbox_here(**behaviour: Any) -> AsyncIterator[str]:
    """Give the URL of an embedded sandbox. Raises SettingsError where its extra is missing."""
    Sandbox, Behaviour, _ = sandbox_parts()
    async with Sandbox(behaviour_of(Behaviour, {"seconds": "uniform:1,2.5", **behaviour}), port=0) as sandbox:
        yield sandbox.url


def sandbox_parts() -> tuple[Any, Any, Any]:
    """Return the sandbox, its behaviour and its sample pictures. Raises SettingsError where the extra is missing."""
    try:
        from aimlvideo.sandbox import Behaviour, Sandbox  # noqa: PLC0415 - an extra
        from aimlvideo.sandbox.pictures import sample_picture  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(f"the sandbox needs its extra: pip install 'aimlvideo[sandbox]' ({error})") from error
    return Sandbox, Behaviour, sample_picture


def behaviour_of(kind: Any, settings: dict[str, Any]) -> Any:
    """Return a behaviour with these knobs. Raises UsageError where one is wrong."""
    try:
        return kind().changed(**settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the sandbox refuses these settings: {error}") from error


def setting_rows() -> list[tuple[str, str, str]]:
    """Return the name, the default and the meaning of every setting of the sandbox."""
    _, kind, _ = sandbox_parts()
    meanings = dict(_documented(inspect.getsource(kind)))
    return [(field.name, str(field.default), meanings.get(field.name, "")) for field in dataclasses.fields(kind)]


def _documented(source: str) -> Iterator[tuple[str, str]]:
    """Give the fields of a dataclass with the string that stands under each: nothing else keeps it."""
    body = ast.parse(source).body[0]
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, meaning in pairwise(statements):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = meaning.value if isinstance(meaning, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield field.target.id, text.value.split("\n")[0]
