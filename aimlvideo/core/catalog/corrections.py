"""What the services' documents leave out about their models, or say in a way that must be mended."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

Raw = dict[str, Any]

# Ids that carry no developer, or another name for one that has several.
DEVELOPERS = {
    "kling-video": "klingai",
    "wan": "alibaba",
    "veo2": "google",
    "veo-3.1-lite-generate-001": "google",
    "video-01": "minimax",
    "video-01-live2d": "minimax",
    "gen3a_turbo": "runway",
    "runway-gen3": "runway",
}

# Accepted on the legacy URL only, by the models named.
LEGACY: dict[str, Raw] = {
    "kling-video/v1.6/standard/multi-image-to-video": {
        "type": {"type": "string", "choices": ["multi-image-to-video"], "legacy": True},
        "external_task_id": {"type": "string", "legacy": True},
    },
    "kling-video/v1.6/pro/image-to-video": {
        "ratio": {"type": "string", "choices": ["16:9", "9:16", "1:1"], "legacy": True},
        "aspect_ratio": {"type": "string", "choices": ["16:9", "9:16", "1:1"], "legacy": True},
    },
}

# What holds on the legacy URL only, for the models named.
LEGACY_RULES: dict[str, list[Raw]] = {
    "kling-video/v1.6/pro/image-to-video": [
        {"kind": "required_when", "fields": ["prompt"], "legacy": True, "source": "docs.aimlapi.com, legacy URL"},
        {
            "kind": "at_most_one",
            "fields": ["ratio", "aspect_ratio"],
            "legacy": True,
            "source": "docs.aimlapi.com, legacy URL: ratio is the older name",
        },
    ],
}


def _alone(first: str, others: Sequence[str], source: str) -> list[Raw]:
    return [{"kind": "at_most_one", "fields": [first, other], "source": source} for other in others]


_REFERENCES = ("reference_image_urls", "video_urls", "audio_urls", "file_url", "link_url")


def _wan_3(source: str) -> list[Raw]:
    return [
        *_alone("image_url", _REFERENCES, source),
        {"kind": "at_most_one", "fields": ["file_url", "link_url"], "source": source},
    ]


# What the documents say of single models in prose only, by the pattern of their ids.
PROSE_RULES: dict[str, list[Raw]] = {
    "alibaba/wan-3-0-video": _wan_3("docs.aimlapi.com, Alibaba-Cloud/wan-3-0-video.json, descriptions"),
    "alibaba/wan3.0-video": _wan_3("docs.aimlapi.com, Alibaba-Cloud/wan3.0-video.json, descriptions"),
    "minimax/h3-max": [
        {
            "kind": "at_most_items",
            "fields": ["reference_image_urls", "video_urls", "audio_urls"],
            "limit": 12,
            "source": "docs.aimlapi.com, MiniMax/h3-max.json, descriptions",
        }
    ],
}

# Names of texts that are files: documents give them as plain texts, at best as URLs.
_FILES = (
    ("video", re.compile(r"(.*_)?videos?(_urls?)?$")),
    ("audio", re.compile(r"(.*_)?audios?_urls?$")),
    ("image", re.compile(r"(.*_)?(images?|frame|mask)(_urls?|_image|_list)?$")),
    ("any", re.compile(r"(alpha_)?url$")),
)

_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def developer_of(model: str) -> str:
    """Return the developer's short name: the part of the id before the slash, or whose model it is known to be."""
    first = model.split("/", maxsplit=1)[0]
    return DEVELOPERS.get(first, first)


def correct(model: str, path: str, params: Mapping[str, Raw], seconds: float | None = None) -> Raw:
    """Return a model's entry of catalog.json from what its document says of its parameters."""
    mended = {name: _corrected(name, param) for name, param in params.items()}
    mended = {**mended, **{name: LEGACY[model][name] for name in LEGACY.get(model, {}) if name not in mended}}
    entry: Raw = {"developer": developer_of(model), "path": path}
    if seconds:
        entry["documented_seconds"] = seconds
    if rules := _rules(model, mended):
        entry["rules"] = rules
    return {**entry, "params": mended}


def _rules(model: str, params: Mapping[str, Raw]) -> list[Raw]:
    """Return what holds between the parameters of a model."""
    rules: list[Raw] = []
    if {"prompt", "multi_prompt"} <= params.keys():
        rules.append({"kind": "exactly_one", "fields": ["prompt", "multi_prompt"]})
    if "omni" in model and {"tail_image_url", "generate_audio"} <= params.keys():
        rules.append({"kind": "forbidden_when", "fields": ["tail_image_url"], "when": {"generate_audio": True}})
    rules += [rule for pattern, stated in PROSE_RULES.items() if fnmatchcase(model, pattern) for rule in stated]
    return [*rules, *LEGACY_RULES.get(model, ())]


def _corrected(name: str, param: Raw) -> Raw:
    """Return a parameter with its default in its own type (or without one), and files marked as such."""
    mended = dict(param)
    if "default" in mended and not _fits(mended, mended["default"]):
        default = _converted(mended.pop("default"), mended.get("type", ""))
        if default is not None and _fits(mended, default):
            mended["default"] = default
    if mended.get("type") == "string" and "media" not in mended and "choices" not in mended:
        mended |= next(({"media": kind} for kind, names in _FILES if names.match(name)), {})
    if "item" in mended:
        mended["item"] = _corrected(name, mended["item"])
    if "fields" in mended:
        mended["fields"] = {key: _corrected(key, part) for key, part in mended["fields"].items()}
    if "any_of" in mended:
        mended["any_of"] = [_corrected(name, form) for form in mended["any_of"]]
    return mended


def _fits(param: Raw, value: Any) -> bool:
    kinds = _PYTHON.get(param.get("type", ""), (object,))
    right = isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds or object in kinds)
    return right and value in (param.get("choices") or [value])


def _converted(value: Any, kind: str) -> Any:
    """Return `"5"` as 5 and `"true"` as True; None where that cannot be done."""
    if kind == "string":
        return str(value)
    try:
        return json.loads(str(value).lower())
    except ValueError:
        return None
