"""Every service that there is, by its name. A new one is a module beside this file, and a line in `SERVICES`."""

from __future__ import annotations

import difflib

from aimlvideo.core.services import aimlapi, kling, kling_official
from aimlvideo.core.services.base import Service
from aimlvideo.errors import SettingsError

SERVICES: dict[str, Service] = {
    service.name: service for service in (aimlapi.SERVICE, kling.SERVICE, kling_official.SERVICE)
}
DEFAULT_SERVICE = next(iter(SERVICES))


def service_of(name: object) -> Service:
    """Return the service of this name. Raises SettingsError, with the nearest name, where there is none."""
    if isinstance(name, str) and (service := SERVICES.get(name)):
        return service
    *others, last = map(repr, SERVICES)
    nearest = difflib.get_close_matches(str(name).lower(), SERVICES, 1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise SettingsError(f"service is {name!r}: expected {', '.join(others)} or {last}{hint}")
