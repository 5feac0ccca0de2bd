"""What `aimlvideo models` shows, as plain rows; somebody else draws them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.catalog.model import Model, Param
from aimlvideo.core.catalog.param_help import PARAM_HELP
from aimlvideo.core.catalog.rules import rule_sentences
from aimlvideo.core.eta import Durations
from aimlvideo.core.money.pricing import Pricing
from aimlvideo.core.services import DEFAULT_SERVICE
from aimlvideo.errors import UsageError

_NO_PRICES: Mapping[str, Pricing] = MappingProxyType({})
_NO_TIMES: Mapping[str, Durations] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _ModelRow:
    """One line of the table. `takes` is what goes in ("text, image"); `seconds` and `price` are empty where unknown."""

    developer: str
    id: str
    takes: str
    audio: bool
    seconds: str
    price: str

    def as_json(self) -> dict[str, Any]:
        """Return the line for a program; what is not known is None."""
        return {
            "id": self.id,
            "developer": self.developer,
            "takes": self.takes.split(", "),
            "audio": self.audio,
            "seconds": float(self.seconds) if self.seconds else None,
            "price": self.price or None,
        }


@dataclass(frozen=True, slots=True)
class ParamRow:
    """One parameter on a model's page; parts of objects have paths (`elements[].frontal_image_url`)."""

    name: str
    takes: str
    required: bool
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class _ModelPage:
    """All that is known of one model. `facts` are pairs of a label and a text.

    `rule_sources` has where each of `rules` stands, as far as that is elsewhere than the model's own source.
    """

    id: str
    facts: tuple[tuple[str, str], ...]
    params: tuple[ParamRow, ...]
    rules: tuple[str, ...]
    example: str
    rule_sources: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the page for a program."""
        return {
            "id": self.id,
            **{label.replace(" ", "_"): text for label, text in self.facts},
            "parameters": [asdict(row) for row in self.params],
            "rules": list(self.rules),
            "example": json.loads(self.example),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFilter:
    """Which models are shown: `image` those that take a picture, `audio` those that make or take sound, `max_price`
    those whose simplest clip is known to cost at most so many dollars.
    """

    image: bool = False
    audio: bool = False
    max_price: float | None = None

    def flags(self) -> dict[str, bool | float | None]:
        """Return the filter as it is typed."""
        return {"--image": self.image, "--audio": self.audio, "--max-price": self.max_price}

    def rows(
        self,
        catalog: Catalog,
        words: str = "",
        *,
        prices: Mapping[str, Pricing] = _NO_PRICES,
        times: Mapping[str, Durations] = _NO_TIMES,
    ) -> list[_ModelRow]:
        """Return the models that have all `words` in id, aliases, developer or what they take, by developer and id.

        Signs and case make no difference ("kling 1.6" finds `kling-video/v1.6/...`); where a word stands nowhere, the
        nearest one that does is taken for it.
        """
        models = sorted(catalog, key=lambda model: (model.service, model.developer, model.id))
        texts = {model.id: " ".join(_words(model)).lower() for model in models}
        # Nobody remembers where an id has its slashes, dashes and dots.
        squeezed = {name: _letters(text) for name, text in texts.items()}
        vocabulary = {part for text in texts.values() for part in PARTS.findall(text)}
        sought = [part for word in words.lower().split() for part in _in_use(word, squeezed.values(), vocabulary)]
        if words.strip() and not any(sought):
            return []  # signs alone stand in every id and mean none
        return [
            _row(model, prices.get(model.id), times.get(model.id))
            for model in models
            if all(word in squeezed[model.id] for word in sought) and self._matches(model, prices.get(model.id))
        ]

    def _matches(self, model: Model, pricing: Pricing | None) -> bool:
        return (
            (not self.image or "image" in _inputs(model))
            and (not self.audio or _has_sound(model))
            and (self.max_price is None or _costs_at_most(self.max_price, model, pricing))
        )


def _words(model: Model) -> Iterator[str]:
    """Give what a model may be looked for by. That it takes text tells it from none, and would blur text-to-video."""
    yield from (model.developer, model.id, *model.aliases)
    yield from (kind for kind in _inputs(model) if kind != "text")
    yield from ("audio", "sound") if _has_sound(model) else ()


PARTS = re.compile(r"[a-z0-9.]+")


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text)


def _in_use(word: str, squeezed: Iterable[str], vocabulary: Iterable[str]) -> list[str]:
    """Return a word as models have it: whole, or its parts, each the nearest that there is."""
    whole = _letters(word)
    if not whole and any(map(str.isalnum, word)):
        return [word]  # in letters that no id has
    if any(whole in text for text in squeezed):
        return [whole]
    parts = [_letters(part) for part in PARTS.findall(word)]
    return [part if any(part in text for text in squeezed) else _nearest(part, vocabulary) for part in parts] or [whole]


def _nearest(part: str, vocabulary: Iterable[str]) -> str:
    return next(map(_letters, get_close_matches(part, vocabulary, 1, 0.7)), part)


def _row(model: Model, pricing: Pricing | None, times: Durations | None) -> _ModelRow:
    return _ModelRow(
        developer=model.developer + ("" if model.service == DEFAULT_SERVICE else f" ({model.service})"),
        id=model.id,
        takes=", ".join(_inputs(model)),
        audio=_has_sound(model),
        seconds=_expected_seconds(model, times),
        price=_price_of(pricing),
    )


def _expected_seconds(model: Model, times: Durations | None = None) -> str:
    """Return how long a clip takes: measured where that is known, else by the documentation, else an empty text."""
    seconds = times.p50 if times else model.documented_seconds
    return "" if seconds is None else f"{seconds:.0f}"


def _price_of(pricing: Pricing | None) -> str:
    """Return `$0.35`, `$0.10 to $0.20 a second`; `varies` without one price, `unknown` where it is unreadable.

    Without a published price it is empty.
    """
    if pricing is None:
        return ""
    if pricing.span is None:
        return "unknown" if pricing.problem else "varies"
    low, high, per = pricing.span
    amount = _dollars(low) if low == high else f"{_dollars(low)} to {_dollars(high)}"
    return amount + (" a second" if per == "second" else "")


def _dollars(amount: float) -> str:
    return f"${amount:.2f}" if round(amount, 2) == round(amount, 6) else f"${amount:.4g}"


def _costs_at_most(dollars: float, model: Model, pricing: Pricing | None) -> bool:
    price = pricing.quote(model, {}) if pricing else None
    return price is not None and price <= dollars


def _inputs(model: Model) -> list[str]:
    kinds = {kind for param in model.params.values() for kind in _kinds(param)}
    text = ["text"] if model.params.keys() & {"prompt", "multi_prompt"} else []
    return [*text, *(kind for kind in ("image", "video", "audio") if kind in kinds)]


def _kinds(param: Param) -> Iterator[str]:
    if param.media:
        yield from ("image", "video") if param.media == "any" else (param.media,)
    for part in param.parts:
        yield from _kinds(part)


def _has_sound(model: Model) -> bool:
    return any("audio" in name or name.startswith("lip_sync") for name in model.params)


def model_page(model: Model, pricing: Pricing | None = None, times: Durations | None = None) -> _ModelPage:
    """Return all that is known of one model."""
    seconds = _expected_seconds(model, times)
    facts = (
        ("developer", model.developer),
        ("service", model.service),
        ("endpoint", model.path),
        ("source", model.source),
        ("also called", ", ".join(model.aliases)),
        ("takes about", f"{seconds} s {'measured' if times else 'by its documentation'}" if seconds else ""),
        ("price", _price_of(pricing)),
    )
    return _ModelPage(
        id=model.id,
        facts=tuple((label, text) for label, text in facts if text),
        params=tuple(row for name in _order(model) for row in _param_rows(name, model.params[name])),
        rules=tuple(rule_sentences(model)),
        rule_sources=() if model.source else tuple(rule.source for rule in model.rules),
        example=example_line(model),
    )


def _order(model: Model) -> list[str]:
    return sorted(model.params, key=lambda name: not model.params[name].required)


def _param_rows(path: str, param: Param) -> Iterator[ParamRow]:
    name = path.rpartition(".")[2].removesuffix("[]")
    legacy = " Legacy URL only." if param.legacy else ""
    default = "" if param.default is None else json.dumps(param.default, ensure_ascii=False)
    yield ParamRow(path, param.expected(), param.required, default, PARAM_HELP.get(name, "") + legacy)
    holder, path = (param.item, f"{path}[]") if param.item else (param, path)
    for key, part in (holder.fields or {}).items():
        yield from _param_rows(f"{path}.{key}", part)


def example_line(model: Model) -> str:
    """Return a line for a job file that this model accepts, ready to be changed."""
    if model.example:
        return json.dumps({"id": "clip-1", "model": model.id, **model.example}, ensure_ascii=False)
    named = [name for name in _order(model) if model.params[name].required or name in {"prompt", "duration"}]
    # Of those of which one is needed, the first.
    for rule in model.rules:
        if rule.kind in ("exactly_one", "at_least_one") and not set(named) & set(rule.fields):
            named.append(rule.fields[0])
    params = {name: _example(name, model.params[name]) for name in named}
    if "prompt" in model.params:
        params = {"prompt": params.pop("prompt"), **params}
    return json.dumps({"id": "clip-1", "model": model.id, **params}, ensure_ascii=False)


_EXAMPLE_FILES = {"image": "picture.png", "video": "clip.mp4", "audio": "sound.mp3", "any": "picture.png"}


def _example(name: str, param: Param) -> Any:
    if param.any_of:
        return _example(name, param.any_of[0])
    if param.choices or param.default is not None:
        return param.default if param.default is not None else param.choices[0]
    if param.media:
        # Links, not paths: a sample is checked as it is, and the files of a path would have to be there.
        return f"https://example.com/{_EXAMPLE_FILES[param.media]}"
    if param.type == "array":
        return [_example(name, param.item) for _ in range(param.min_items or 1)] if param.item else []
    if param.type == "object":
        return {key: _example(key, part) for key, part in (param.fields or {}).items() if part.required}
    low = param.minimum or 1
    return {"string": "A dancer turns around in the rain", "integer": int(low), "number": low}.get(param.type, True)


def known_model(catalog: Catalog, name: str) -> Model:
    """Return the model of this name. Raises UsageError, with names like it, where there is none."""
    if (model := catalog.find(name)) is not None:
        return model
    near = ", ".join(catalog.nearest(name))
    hint = f"did you mean {near}?" if near else "expected one that `aimlvideo models` lists"
    raise UsageError(f"there is no model {name!r}: {hint}")
