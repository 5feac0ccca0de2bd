"""AI/ML API's public pages: the list of models, their prices, how long they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

from aimlvideo.core.catalog.deprecations import Deprecation
from aimlvideo.core.catalog.refresh import ListedModel
from aimlvideo.core.eta import SHORTEST_MEDIAN, Durations
from aimlvideo.core.links import LOOPBACK
from aimlvideo.core.money.pricing import Per, Price, Prices, Pricing
from aimlvideo.core.wires.aimlapi import UNIVERSAL, raise_for_error
from aimlvideo.core.wires.base import ModelList, Question
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.json_fields import as_cost, as_number, as_text, as_timestamp

_PRICES_FIELDS = {"data": "a list", "data[].id": "text", "data[].pricing.kind": "text"}
_METRICS_FIELDS = {
    "models": "a list",
    "models[].alias": "text",
    "models[].metrics.duration_ms.p50": "a number",
    "models[].metrics.duration_ms.p90": "a number",
}
_DEPRECATIONS_FIELDS = {"data": "a list", "data[].id": "text", "data[].status": "text"}
_VIDEO_TYPE = "internal/video-generations/submit"
"""The type of the models that make videos, by which their list is asked for."""
MAX_NAME = 200
"""Characters of a model's name."""
MAX_PRICE = 1e6
"""USD: no clip costs this much."""


def _models_request(etag: str = "") -> Request:
    """Return the request for the list of video models; with its `etag` it is answered 304 when nothing changed."""
    return Request("GET", "/v1/models", query={"type": _VIDEO_TYPE}, headers={"If-None-Match": etag} if etag else {})


def _read_models(answer: Any) -> list[ListedModel]:
    """Return the video models of an answer of `/v1/models`; broken entries and other kinds of model are left out."""
    entries = answer.get("data") if isinstance(answer, Mapping) else answer
    if not isinstance(entries, list):
        raise ValueError("the list of models is not a list")
    return [listed for entry in entries if (listed := _listed(entry)) is not None]


def _listed(entry: Any) -> ListedModel | None:
    if not isinstance(entry, Mapping) or not _is_name(entry.get("id")) or entry.get("type", _VIDEO_TYPE) != _VIDEO_TYPE:
        return None
    info, aliases = entry.get("info"), entry.get("aliases")
    about = info if isinstance(info, Mapping) else {}
    address = about.get("docsJson")
    return ListedModel(
        id=entry["id"],
        aliases=tuple(filter(_is_name, aliases)) if isinstance(aliases, list) else (),
        developer=str(about.get("developer") or ""),
        document=address if isinstance(address, str) and _fetchable(address) else "",
    )


def _is_name(value: Any) -> bool:
    """Tell whether a value can be a model's name: it stands in files, messages and requests."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def _fetchable(address: str) -> bool:
    """Say whether an address is one to ask: https, or a path of the service itself; http on this machine alone."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if parts.scheme == "http":
        return parts.hostname in LOOPBACK
    return parts.scheme == "https" or (not parts.scheme and not parts.netloc and address.startswith("/"))


def _read_metrics(answer: Any) -> dict[str, Durations]:
    """Return the durations by model from the answer of `/models/metrics`; broken entries are left out."""
    entries = answer.get("models") if isinstance(answer, Mapping) else None
    durations: dict[str, Durations] = {}
    for entry in entries if isinstance(entries, list) else []:
        try:
            duration = entry["metrics"]["duration_ms"]
            law = Durations(float(duration["p50"]) / 1000, float(duration["p90"]) / 1000)
            if isfinite(law.p90) and SHORTEST_MEDIAN <= law.p50 <= law.p90:
                durations[str(entry["alias"])] = law
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return durations


UNITS: dict[str, tuple[Per, float]] = {
    **dict.fromkeys(("second", "seconds", "sec", "s"), ("second", 1.0)),
    **dict.fromkeys(("minute", "minutes", "min"), ("second", 60.0)),
    **dict.fromkeys(
        ("video", "videos", "clip", "generation", "generations", "request", "requests"), ("generation", 1.0)
    ),
}
"""What a price's unit counts, and how many of that it is. The service documents only "second" for video."""


def _read_prices(models_answer: Any) -> Prices:
    """Return the prices by model id and alias from the answer of `/v1/models?include=pricing`.

    A price that cannot be read is none, and its `problem` says why; one entry's fault is no other's.
    """
    entries = models_answer.get("data") if isinstance(models_answer, Mapping) else models_answer
    prices = Prices()
    for entry in entries if isinstance(entries, list) else []:
        # A price that cannot be read is kept with its problem, so that `check` says which and why; no price at all is
        # no problem.
        if isinstance(entry, Mapping) and entry.get("pricing") is not None:
            prices.update(dict.fromkeys(_names(entry), _pricing(entry["pricing"])))
    return prices


def _read_deprecations(answer: Answer) -> dict[str, Deprecation]:
    """Return the models that go or are gone, by id and alias; broken entries are left out."""
    raise_for_error(answer)
    body = answer.json()
    entries = body.get("data") if isinstance(body, Mapping) else body
    deprecations: dict[str, Deprecation] = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and isinstance(entry.get("id"), str):
            deprecation = Deprecation(
                model=entry["id"],
                status=(as_text(entry.get("status")) or "").lower(),
                deprecated_at=as_timestamp(entry.get("deprecated_at")),
                shutdown_at=as_timestamp(entry.get("shutdown_at")),
                replaced_by=as_text(entry.get("replaced_by")) or "",
                reason=as_text(entry.get("reason")) or "",
            )
            deprecations |= {name: deprecation._replace(model=name) for name in _names(entry)}
    return deprecations


def _names(entry: Mapping[str, Any]) -> Iterator[str]:
    aliases = entry.get("aliases")
    for name in [entry.get("id"), *(aliases if isinstance(aliases, list) else [])]:
        if isinstance(name, str):
            yield name


def _pricing(raw: Any) -> Pricing:
    try:
        cases = _cases(raw)
        placed = [_conditions(case) for case in cases]
    except ValueError as error:
        return Pricing(problem=str(error))
    prices, problem = [], ""
    for case, when in zip(cases, placed, strict=True):
        try:
            dollars, per = _amount(case)
            prices.append(Price(dollars, per, when))
        except ValueError as error:
            # Keeps its place, so that no later case counts in its stead.
            prices.append(Price(None, "second", when))
            problem = problem or str(error)
    return Pricing(tuple(prices), problem)


def _cases(raw: Any) -> list[Any]:
    """Return the prices that depend on nothing or on their `when`. Raises ValueError where there is nothing to read."""
    if not isinstance(raw, Mapping):
        raise ValueError("the published price is not an object")
    if str(raw.get("currency") or "USD").upper() != "USD":
        raise ValueError(f"the published price is in {str(raw['currency'])[:20]!r}, expected USD")
    match raw:
        case {"kind": "variable"}:
            return []
        case {"kind": "fixed", "units": [unit]}:
            return [unit]
        case {"kind": "fixed", "units": [_, _, *_]}:
            # One number of a sum would be a price too low, and the spending limit would not hold.
            raise ValueError("the published price adds up several units")
        case {"kind": "variants", "variants": [_, *_] as variants}:
            return list(variants)
    raise ValueError(f"the published price of kind {str(raw.get('kind'))[:40]!r} lists no units or variants")


def _conditions(case: Any) -> dict[str, Any]:
    when = case.get("when") or {} if isinstance(case, Mapping) else None
    if not isinstance(when, Mapping):
        raise ValueError("the published price has a variant that does not say when it holds")
    return dict(when)


def _amount(case: Mapping[str, Any]) -> tuple[float, Per]:
    """Return dollars and per what. Raises ValueError with what of them cannot be read."""
    dollars, count = as_cost(case.get("price")), as_number(case.get("per", 1))
    if dollars is None or dollars >= MAX_PRICE:
        raise ValueError(f"the published price {str(case.get('price'))[:40]!r} is not an amount")
    if count is None or count <= 0:
        raise ValueError(f"the published price is per {str(case.get('per'))[:40]!r}, expected a number of units")
    words = [str(case[name]).strip().lower() for name in ("unit", "name", "measure") if case.get(name)]
    per, multiple = next((UNITS[word] for word in words if word in UNITS), (None, 1.0))
    if per is None:
        raise ValueError(f"the published price is per {', '.join(words)[:40]!r}, expected second or video")
    return dollars / count / multiple, per


MODELS = ModelList(_models_request, _read_models, UNIVERSAL)
PRICES = Question(
    Request("GET", "/v1/models", (("include", "pricing"), ("output_modalities", "video"))),
    lambda answer: _read_prices(answer.json()),
    _PRICES_FIELDS,
)
DURATIONS = Question(Request("GET", "/models/metrics"), lambda answer: _read_metrics(answer.json()), _METRICS_FIELDS)
DEPRECATIONS = Question(Request("GET", "/v1/models/deprecations"), _read_deprecations, _DEPRECATIONS_FIELDS)
