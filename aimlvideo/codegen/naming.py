"""Names for what is generated: module, class and type names from ids and parameter names."""

from __future__ import annotations

import re

SPECIAL = {
    "wan/v2.1/1.3b/text-to-video": "Wan21TextToVideo13B",
    "runway-gen3/turbo/image-to-video": "Gen3TurboImageToVideo",
    "bytedance/dreamina-seedance-2-0-mini": "DreaminaSeedance20Mini",
    "alibaba/wan3.0-video": "Wan30VideoDotted",
}
_REDUNDANT = re.compile(r"^(kling-video|klingai|google|openai|alibaba|minimax|bytedance|runway|luma|pixverse)/")
_UPPER = frozenset({"i2v", "t2v", "r2v", "v2v"})


def class_name(model: str) -> str:
    """Return `V3StandardImageToVideo` for `klingai/video-v3-standard-image-to-video`."""
    if model in SPECIAL:
        return SPECIAL[model]
    short = re.sub(r"^(kling-)?video-(?!\d)", "", _REDUNDANT.sub("", model))
    return "".join(_cased(word) for word in re.split(r"[^A-Za-z0-9]+", short))


def typed_dict_name(param: str) -> str:
    """Return `DynamicMask` for one of `dynamic_masks`."""
    one = re.sub(r"ies$", "y", param).removesuffix("s")
    return "".join(_cased(word) for word in one.split("_"))


def _cased(word: str) -> str:
    return word.upper() if word in _UPPER else word[:1].upper() + word[1:]
