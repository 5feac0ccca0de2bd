"""Corrections to published model documents: what they leave out, or state wrongly."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from aimlvideo.core.catalog.developers import developer_of

Raw = dict[str, Any]

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


def _picture_without(others: Sequence[str], source: str) -> list[Raw]:
    return [{"kind": "at_most_one", "fields": ["image_url", other], "source": source} for other in others]


_DOCS = "docs.aimlapi.com, descriptions in "
_REFERENCES = ("reference_image_urls", "video_urls", "audio_urls", "file_url", "link_url")
_END_NEEDS_BEGINNING = {"kind": "needs", "fields": ["last_image_url", "image_url"]}
_PICTURES_OR_VIDEOS = ("image_url", "last_image_url", "image_urls", "reference_image_urls", "video_url", "video_urls")
_MB = 2**20
_JPEG_OR_PNG = ["image/jpeg", "image/png"]
_EFFECTS_FOR_TWO, _EFFECTS_FOR_ONE = "hug|kiss|heart_gesture", "squish|expansion"


def _wan_3(source: str) -> list[Raw]:
    return [
        {**_END_NEEDS_BEGINNING, "source": source},
        *_picture_without(_REFERENCES, source),
        {"kind": "at_most_one", "fields": ["file_url", "link_url"], "source": source},
        {"kind": "file", "fields": ["video_urls", "audio_urls"], "file": {"max_seconds": 15}, "source": source},
        {"kind": "note", "fields": [], "text": "video_urls last at most 15 s together, and so do audio_urls",
         "source": source},
        {"kind": "note", "fields": [], "text": "With video_urls, their length and the duration are at most 30 s",
         "source": source},
    ]  # fmt: skip


def _sora_picture(resolution: str, aspect_ratio: str, width: int, height: int) -> Raw:
    return {
        "kind": "file",
        "fields": ["image_url"],
        "if": [f"resolution={resolution}", f"aspect_ratio={aspect_ratio}"],
        "file": {"pixels": [width, height]},
        "source": _DOCS + "OpenAI/sora-2-i2v.json",
    }


_MINIMAX_FIRST_FRAME: Raw = {
    "kind": "file",
    "fields": ["image_url"],
    "file": {"types": _JPEG_OR_PNG, "max_bytes": 20 * _MB, "min_side": 301, "max_ratio": 2.5},
    "source": _DOCS + "MiniMax",
}


def _sound_needs_more(*others: str, source: str) -> list[Raw]:
    return [{"kind": "needs", "fields": [sound, *others], "source": source} for sound in ("audio_url", "audio_urls")]


# What the documents say of single models in prose only, by the pattern of their ids. Of a rule for fields that a model
# does not have, nothing is left.
PROSE_RULES: dict[str, list[Raw]] = {
    "alibaba/wan-3-0-video": _wan_3(_DOCS + "Alibaba-Cloud/wan-3-0-video.json"),
    "alibaba/wan3.0-video": _wan_3(_DOCS + "Alibaba-Cloud/wan3.0-video.json"),
    "beeble/switchx-video-to-video": [
        {"kind": "required_when", "fields": ["alpha_url"], "if": ["alpha_mode=custom|select"],
         "source": _DOCS + "Beeble"},
        {"kind": "at_least_one", "fields": ["prompt", "reference_image_url"], "source": _DOCS + "Beeble"},
    ],
    "bytedance/*seedance-2*": _sound_needs_more(*_PICTURES_OR_VIDEOS, source=_DOCS + "ByteDance"),
    "bytedance/omnihuman*": [
        {"kind": "file", "fields": ["audio_url"], "file": {"below_seconds": 30},
         "source": _DOCS + "ByteDance/omnihuman"}
    ],
    "google/gemini-omni-1.1-flash": [
        {"kind": "note", "fields": [], "text": "With task=image_to_video, two image_urls are the first and last frame",
         "source": _DOCS + "Google/gemini-omni-1-1-flash.json"}
    ],
    "google/veo-3-1-lite-generate-preview": [
        {"kind": "choices_when", "fields": ["duration"], "choices": [8], "if": ["last_image_url"],
         "source": _DOCS + "Google/veo-3-1-lite"}
    ],
    "klingai/avatar-*": [
        {"kind": "file", "fields": ["audio_url"], "source": _DOCS + "Kling-AI/avatar",
         "file": {"types": ["audio/mpeg", "audio/wav", "audio/mp4", "audio/aac"], "max_bytes": 5 * _MB}}
    ],
    "klingai/kling-video-v1.6-*-effects": [
        {"kind": "items", "fields": ["image_url"], "limit": count, "if": [f"effect_scene={scenes}"],
         "source": _DOCS + "Kling-AI/kling-video-v1.6-effects"}
        for count, scenes in ((2, _EFFECTS_FOR_TWO), (1, _EFFECTS_FOR_ONE))
    ],
    "klingai/video-v3-standard-turbo-*": [
        {"kind": "file", "fields": ["image_url"], "source": _DOCS + "Kling-AI/video-v3-standard-turbo",
         "file": {"types": _JPEG_OR_PNG, "max_bytes": 50 * _MB, "min_side": 300, "max_ratio": 2.5}}
    ],
    "krea/krea-wan-14b/text-to-video": [
        {"kind": "steps", "fields": ["num_frames"], "limit": 12, "offset": 6, "source": _DOCS + "Krea"}
    ],
    "luma/ray-3.2": [
        {"kind": "needs", "fields": needs, "source": _DOCS + "Luma/ray-3.2"}
        for needs in (["exr_export=true", "hdr=true"], ["loop=true", "type=video"])
    ] + [
        {"kind": "choices_when", "fields": [name], "choices": choices, "if": ["hdr=true"],
         "source": _DOCS + "Luma/ray-3.2"}
        for name, choices in (("duration", [5]), ("resolution", ["720p", "1080p"]))
    ],
    "minimax/h3": [
        *_sound_needs_more(*_PICTURES_OR_VIDEOS, source=_DOCS + "MiniMax/h3.json"), _MINIMAX_FIRST_FRAME
    ],
    "minimax/h3-max": [
        {"kind": "at_most_items", "fields": ["reference_image_urls", "video_urls", "audio_urls"], "limit": 12,
         "source": _DOCS + "MiniMax/h3-max.json"},
        *_sound_needs_more("reference_image_urls", "video_urls", source=_DOCS + "MiniMax/h3-max.json"),
        {"kind": "file", "fields": ["video_urls", "audio_urls"], "file": {"min_seconds": 2, "max_seconds": 15},
         "source": _DOCS + "MiniMax/h3-max.json"},
        {"kind": "note", "fields": [], "text": "video_urls last at most 15 s together, and so do audio_urls",
         "source": _DOCS + "MiniMax/h3-max.json"},
        {"kind": "note", "fields": [], "text": "ratio is ignored with image_url; adaptive needs a reference",
         "source": _DOCS + "MiniMax/h3-max.json"},
    ],
    "minimax/hailuo-*": [_MINIMAX_FIRST_FRAME],
    "openai/sora-2*-i2v": [
        _sora_picture("720p", "16:9", 1280, 720),
        _sora_picture("720p", "9:16", 720, 1280),
        _sora_picture("1080p", "16:9", 1792, 1024),
        _sora_picture("1080p", "9:16", 1024, 1792),
    ],
    "pixverse/lip-sync": [
        {"kind": "exactly_one", "fields": ["audio_url", "lip_sync_tts_content"], "source": _DOCS + "PixVerse/lip-sync"},
        {"kind": "at_most_one", "fields": ["audio_url", "lip_sync_tts_speaker"], "source": _DOCS + "PixVerse/lip-sync"},
        {"kind": "needs", "fields": ["lip_sync_tts_content", "lip_sync_tts_speaker"],
         "source": _DOCS + "PixVerse/lip-sync"},
        {"kind": "needs", "fields": ["lip_sync_tts_speaker", "lip_sync_tts_content"],
         "source": _DOCS + "PixVerse/lip-sync"},
    ],
    "pixverse/v5/*": [
        {"kind": "choices_when", "fields": ["duration"], "choices": [5], "if": ["resolution=1080p"],
         "source": _DOCS + "PixVerse/v5"}
    ],
    "pixverse/v5.5/*": [
        {"kind": "choices_when", "fields": ["duration"], "choices": [5, 10], "if": ["resolution=1080p"],
         "source": _DOCS + "PixVerse/v5.5"}
    ],
    "video-01": [_MINIMAX_FIRST_FRAME],
    "x-ai/grok-imagine-video": _picture_without(("reference_images",), _DOCS + "xAI/grok-imagine-video"),
}  # fmt: skip

_ASSET_IDS = ["asset://.+", "asset-[A-Za-z0-9_-]+"]

# Texts that are no file, by which services know one that they have: where the documents say that they are taken.
ACCEPTED_TEXTS: dict[str, list[str]] = {
    "google/gemini-omni*": ["gs://.+"],
    "bytedance/dreamina-seedance-2-0-mini": _ASSET_IDS,
    "bytedance/dreamina-seedance-2-5": _ASSET_IDS,
    "bytedance/seedance-2-0": _ASSET_IDS,
    "bytedance/seedance-2-0-fast": _ASSET_IDS,
}

# Names of texts that are files: documents give them as plain texts, at best as URLs.
_FILES = (
    ("video", re.compile(r"(.*_)?videos?(_urls?)?$")),
    ("audio", re.compile(r"(.*_)?audios?_urls?$")),
    ("image", re.compile(r"(.*_)?(images?|frame|mask)(_urls?|_image|_list)?$")),
    ("any", re.compile(r"(alpha_)?url$")),
)

_LINK_NAME = re.compile(r"(^|_)ur[il]s?$")

_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def correct(model: str, path: str, params: Mapping[str, Raw], seconds: float | None = None) -> Raw:
    """Return a model's entry of catalog.json from what its document says of its parameters."""
    accepted = [text for pattern, texts in ACCEPTED_TEXTS.items() if fnmatchcase(model, pattern) for text in texts]
    corrected = {name: _accepting(_corrected(name, param), accepted) for name, param in params.items()}
    corrected = {**corrected, **{name: LEGACY[model][name] for name in LEGACY.get(model, {}) if name not in corrected}}
    entry: Raw = {"developer": developer_of(model), "path": path}
    if seconds:
        entry["documented_seconds"] = seconds
    if rules := _rules(model, corrected):
        entry["rules"] = rules
    return {**entry, "params": corrected}


def _rules(model: str, params: Mapping[str, Raw]) -> list[Raw]:
    """Return what holds between the parameters of a model."""
    rules: list[Raw] = []
    if {"prompt", "multi_prompt"} <= params.keys():
        rules.append({"kind": "exactly_one", "fields": ["prompt", "multi_prompt"], "source": _DOCS + "Kling-AI"})
    if "omni" in model and {"tail_image_url", "generate_audio"} <= params.keys():
        rules.append(
            {
                "kind": "forbidden_when",
                "fields": ["tail_image_url"],
                "when": {"generate_audio": True},
                "source": _DOCS + "Kling-AI/video-v3-omni",
            }
        )
    if links := [name for name, param in params.items() if _LINK_NAME.search(name) and _is_plain_text(param)]:
        rules.append({"kind": "link", "fields": links, "source": "docs.aimlapi.com, the names of these parameters"})
    stated = [rule for pattern, stated in PROSE_RULES.items() if fnmatchcase(model, pattern) for rule in stated]
    rules += filter(None, (_for_fields(rule, params.keys()) for rule in stated))
    return [*rules, *LEGACY_RULES.get(model, ())]


def _is_plain_text(param: Raw) -> bool:
    """Tell whether a parameter is a text, or a list of texts, that is neither a file nor one of a few words."""
    text = param.get("item", {}) if param.get("type") == "array" else param
    return text.get("type") == "string" and not text.get("media") and not text.get("choices")


def _for_fields(rule: Raw, names: Collection[str]) -> Raw | None:
    """Return a rule as it is for a model that has these parameters; None where it says nothing of them."""
    if rule["kind"] in ("needs", "file"):
        fields = [field for field in rule["fields"] if field.partition("=")[0] in names]
        enough = len(fields) > 1 and fields[0] == rule["fields"][0] if rule["kind"] == "needs" else bool(fields)
        return {**rule, "fields": fields} if enough else None
    return rule


def _accepting(param: Raw, texts: list[str]) -> Raw:
    """Return a parameter whose files may also be named by one of these patterns."""
    if param.get("media") and texts:
        return {**param, "accepts": texts}
    if "item" in param:
        return {**param, "item": _accepting(param["item"], texts)}
    return param


def _corrected(name: str, param: Raw) -> Raw:
    """Return a parameter with its default in its own type (or without one), and files marked as such."""
    corrected = dict(param)
    # Documents give "5" for a whole number, or a default that is not among the choices: sent as it stands, it would be
    # refused.
    if "default" in corrected and not _fits(corrected, corrected["default"]):
        default = _converted(corrected.pop("default"), corrected.get("type", ""))
        if default is not None and _fits(corrected, default):
            corrected["default"] = default
    if corrected.get("type") == "string" and "media" not in corrected and "choices" not in corrected:
        corrected |= next(({"media": kind} for kind, names in _FILES if names.match(name)), {})
    if "item" in corrected:
        corrected["item"] = _corrected(name, corrected["item"])
    if "fields" in corrected:
        corrected["fields"] = {key: _corrected(key, part) for key, part in corrected["fields"].items()}
    if "any_of" in corrected:
        corrected["any_of"] = [_corrected(name, form) for form in corrected["any_of"]]
    return corrected


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
