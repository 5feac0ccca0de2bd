"""What a clip costs: a price list in the shapes of `/v1/models?include=pricing`, and the bill that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any

from aimlvideo.sandbox.catalogue import Model, find_model
from aimlvideo.sandbox.seeded_random import Dice

CREDITS_PER_USD = 2_000_000

_LIST = 143
"""The seed of the price list: prices are invented, plausible, and the same for ever."""

_CLASSES = {"480p": 0.7, "540p": 0.8, "580p": 0.8, "720p": 1.0, "768p": 1.0, "1080p": 1.5, "1440p": 1.9, "2160p": 2.4}


@cache
def price_entry(model_id: str) -> dict[str, Any]:
    """Return a model's `pricing`: of kind fixed, variants or variable."""
    model = find_model(model_id)
    assert model is not None
    per_second = _per_second(model)
    if "duration" not in model.params:
        if "video_url" in model.params:
            return {"kind": "variable", "currency": "USD"}
        return _fixed(round(per_second * 6, 2), "video")
    variants = _variants(model, per_second)
    if not variants:
        return _fixed(per_second, "second")
    return {"kind": "variants", "currency": "USD", "dimensions": [*variants[0]["when"]], "variants": variants}


def clip_price(model: Model, params: Mapping[str, Any], seconds: float) -> float:
    """Return what a clip of this many seconds is billed."""
    entry = price_entry(model.id)
    if entry["kind"] == "variable":
        return round(_per_second(model) * 6, 4)
    if entry["kind"] == "fixed":
        return _billed(entry["units"][0], seconds)
    return next(_billed(variant, seconds) for variant in entry["variants"] if _holds(variant["when"], model, params))


def gateway_price(mode: object, seconds: float) -> float:
    """Return what a clip of the Kling gateway is billed."""
    return round((0.098 if mode == "pro" else 0.056) * seconds, 4)


def _billed(offer: Mapping[str, Any], seconds: float) -> float:
    by_second = "second" in (offer.get("unit"), offer.get("name"))
    return round(float(offer["price"]) / float(offer["per"]) * (seconds if by_second else 1), 4)


def _holds(when: Mapping[str, Any], model: Model, params: Mapping[str, Any]) -> bool:
    values = {name: params.get(name, model.default(name)) for name in when}
    return all(str(values[name]).lower() == str(value).lower() for name, value in when.items())


def _variants(model: Model, per_second: float) -> list[dict[str, Any]]:
    durations = model.params["duration"].get("enum", [])
    resolutions = _with_default(model, "resolution")
    sounds = [True, False] if model.default("generate_audio") is not None else [None]
    if len(resolutions) == 1 and len(sounds) == 1:
        return []
    by_clip = 0 < len(durations) <= 3 and "default" in model.params["duration"]
    return [
        _variant(per_second, resolution, sound, duration)
        for resolution, sound, duration in product(resolutions, sounds, durations if by_clip else [None])
    ]


def _with_default(model: Model, name: str) -> list[Any]:
    """Return the choices that a price may depend on: none where a request may leave it open without a default."""
    param = model.params.get(name, {})
    return param["enum"] if len(param.get("enum", ())) > 1 and "default" in param else [None]


def _variant(per_second: float, resolution: str | None, sound: bool | None, duration: int | None) -> dict[str, Any]:
    named = {"duration": duration, "resolution": resolution, "generate_audio": sound}
    rate = per_second * _CLASSES.get(str(resolution).lower(), 1.0) * (0.8 if sound is False else 1.0)
    return {
        "when": {name: value for name, value in named.items() if value is not None},
        "price": round(rate * (duration or 1), 4),
        "unit": "video" if duration else "second",
        "per": 1,
    }


def _fixed(price: float, unit: str) -> dict[str, Any]:
    units = [{"name": unit, "measure": unit, "price": price, "per": 1}]
    return {"kind": "fixed", "currency": "USD", "units": units}


def _per_second(model: Model) -> float:
    """Return a rate that keeps a clip between about 0.15 and 2 USD."""
    duration = model.params.get("duration", {})
    longest = max(duration.get("enum", [duration.get("maximum", 8)]))
    return round(
        (0.04 + 0.06 * Dice(_LIST, model.id).roll("price")) * (1 if longest <= 10 else (10 / longest) ** 0.5), 4
    )
