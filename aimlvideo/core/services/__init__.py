"""Every service that there is, by its name. A new one is a module of that name beside this file, its name here, and
its models in `core/catalog/catalog.json` (the `service` of an entry)."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

from aimlvideo.core.formatting import preview
from aimlvideo.errors import SettingsError

if TYPE_CHECKING:
    from aimlvideo.core.services.base import Service

SERVICE_NAMES = ("aimlapi", "kling", "kling-official")
DEFAULT_SERVICE = SERVICE_NAMES[0]
SERVICE_HELP = "The service: aimlapi, kling for a Kling-style gateway, or kling-official."
BASE_URL_HELP = "The service's address. Without it: AIMLAPI_BASE_URL, or KLING_BASE_URL for kling-official."
API_KEY_HELP = (
    "The API key, or @FILE with the key in it. Without it: AIMLAPI_API_KEY or AIML_API_KEY; for kling-official "
    "KLING_ACCESS_KEY and KLING_SECRET_KEY, KLING_API_KEY or KLINGAI_API_KEY."
)
LEGACY_HELP = "Use AI/ML API's legacy URLs."
"""What the command's help says of the services: texts, because a help page loads no service."""

_loaded: dict[str, Service] = {}


def service_of(name: object) -> Service:
    """Return the service of this name. Raises SettingsError, with the nearest name, where there is none."""
    if isinstance(name, str) and name in _loaded:
        return _loaded[name]
    if not isinstance(name, str) or name not in SERVICE_NAMES:
        raise SettingsError(_unknown(name))
    # By name and late: a command loads the one service that it talks to, and `--help` none.
    module = import_module(f"{__name__}.{str(name).replace('-', '_')}")
    service: Service = module.SERVICE
    return _loaded.setdefault(service.name, service)


def _unknown(name: object) -> str:
    *others, last = map(repr, SERVICE_NAMES)
    nearest = difflib.get_close_matches(name.lower(), SERVICE_NAMES, 1) if isinstance(name, str) else ()
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return f"service is {preview(name)}: expected {', '.join(others)} or {last}{hint}"
