"""The embedded sandbox, for commands that use it: it needs an extra, and is imported when it is used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
