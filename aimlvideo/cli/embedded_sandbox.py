"""The embedded sandbox, for commands that use it: it needs an extra, and is imported when it is used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from aimlvideo.errors import SettingsError, UsageError


def import_sandbox(module: str = "aimlvideo.sandbox") -> ModuleType:
    """Return the sandbox, or a module of it. Raises SettingsError where its extra is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        raise SettingsError(f"the sandbox needs its extra: pip install 'aimlvideo[sandbox]' ({error})") from error


@asynccontextmanager
async def sandbox_here(*, port: int = 0, **settings: Any) -> AsyncIterator[str]:
    """Give the URL of an embedded sandbox with these settings.

    Raises SettingsError where its extra is missing, UsageError where a setting is wrong.
    """
    sandbox = import_sandbox()
    try:
        behaviour = sandbox.Behaviour().changed(**{"seconds": "uniform:1,2.5", **settings})
    except (TypeError, ValueError) as error:
        raise UsageError(f"the sandbox refuses these settings: {error}") from error
    async with sandbox.Sandbox(behaviour, port=port) as served:
        yield served.url
