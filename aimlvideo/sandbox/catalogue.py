"""What the models are and take: `models.json`, read once."""

from __future__ import annotations

import json
import pkgutil
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_DEVELOPERS = {
    "alibaba": "Alibaba Cloud",
    "wan": "Alibaba Cloud",
    "kling-video": "Kling AI",
    "klingai": "Kling AI",
    "gen3a_turbo": "Runway",
    "runway": "Runway",
    "runway-gen3": "Runway",
    "google": "Google",
    "veo": "Google",
    "video-01": "MiniMax",
    "minimax": "MiniMax",
    "openai": "OpenAI",
    "bytedance": "ByteDance",
    "x-ai": "xAI",
}


@dataclass(frozen=True, slots=True)
class Model:
    """One video model. `schema` is the JSON Schema of its parameters, `seconds` its documented processing time."""

    id: str
    path: str
    seconds: float | None
    aliases: tuple[str, ...]
    rules: tuple[dict[str, Any], ...]
    schema: dict[str, Any]

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, each with its JSON Schema."""
        properties: dict[str, Any] = self.schema["properties"]
        return properties

    @property
    def developer(self) -> str:
        """Who made it."""
        family = self.id.partition("/")[0]
        listed = next((who for prefix, who in _DEVELOPERS.items() if family.startswith(prefix)), None)
        return listed or family.title()

    def default(self, param: str) -> Any:
        """Return what the service takes when a parameter is not sent, or None."""
        return self.params.get(param, {}).get("default")


@lru_cache(maxsize=1)
def all_models() -> dict[str, Model]:
    """Return every model by its id."""
    entries = json.loads(pkgutil.get_data("aimlvideo.sandbox", "models.json") or b"{}")["models"]
    return {
        name: Model(
            id=name,
            path=entry["path"],
            seconds=entry["seconds"],
            aliases=tuple(entry["aliases"]),
            rules=tuple(entry["rules"]),
            schema=entry["schema"],
        )
        for name, entry in entries.items()
    }


@lru_cache(maxsize=1)
def _by_any_name() -> dict[str, Model]:
    models = all_models()
    return {alias: model for model in models.values() for alias in model.aliases} | models


def find_model(name: object) -> Model | None:
    """Return the model of this id or alias."""
    return _by_any_name().get(name) if isinstance(name, str) else None
