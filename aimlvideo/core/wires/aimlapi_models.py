"""AI/ML API's public pages: /v1/models, its prices, /models/metrics"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

from aimlvideo.core import loopback
from aimlvideo.core.catalog.refresh import VIDEO
from aimlvideo.core.eta import SHORTEST, Durations
from aimlvideo.core.money.pricing import Price, Pricing
from aimlvideo.core.wires.http import Request

PRICES_REQUEST = Request("GET", "/v1/models", (("include", "pricing"), ("output_modalities", "video")))
METRICS_REQUEST = Request("GET", "/models/metrics")


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One video model of the service's list; `document` is the address of its OpenAPI document, empty where none is."""

    id: str
    aliases: tuple[str, ...]
    developer: str
    document: str


def models_request(etag: str = "") -> Request:
    """Return the request for the list of video models; with its `etag` it is answered 304 when nothing changed."""
    return Request("GET", "/v1/models", query={"type": VIDEO}, headers={"If-None-Match": etag} if etag else {})


def read_models(answer: Any) -> list[ListedModel]:
    """Return the video models of an answer of `/v1/models`; broken entries and other kinds of model are left out."""
    entries = answer.get("data") if isinstance(answer, Mapping) else answer
    if not isinstance(entries, list):
        raise ValueError("the list of models is not a list")
    return [listed for entry in entries if (listed := _listed(entry)) is not None]


def _listed(entry: Any) -> ListedModel | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("id"), str) or entry.get("type", VIDEO) != VIDEO:
        return None
    info, aliases = entry.get("info"), entry.get("aliases")
    about = info if isinstance(info, Mapping) else {}
    address = about.get("docsJson")
    return ListedModel(
        id=entry["id"],
        aliases=tuple(alias for alias in aliases if isinstance(alias, str)) if isinstance(aliases, list) else (),
        developer=str(about.get("developer") or ""),
        document=address if isinstance(address, str) and _fetchable(address) else "",
    )


def _fetchable(address: str) -> bool:
    """Say whether an address is one to ask: https, or a path of the service itself; http on this machine alone."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if parts.scheme == "http":
        return parts.hostname in loopback.LOOPBACK
    return parts.scheme == "https" or (not parts.scheme and not parts.netloc and address.startswith("/"))


def read_metrics(answer: Any) -> dict[str, Durations]:
    """Return the durations by model from the answer of `/models/metrics`; broken entries are left out."""
    entries = answer.get("models") if isinstance(answer, Mapping) else None
    found: dict[str, Durations] = {}
    for entry in entries if isinstance(entries, list) else []:
        try:
            duration = entry["metrics"]["duration_ms"]
            law = Durations(float(duration["p50"]) / 1000, float(duration["p90"]) / 1000)
            if isfinite(law.p90) and SHORTEST <= law.p50 <= law.p90:
                found[str(entry["alias"])] = law
        except (KeyError, TypeError, ValueError):
            continue
    return found


def read_prices(models_answer: Any) -> dict[str, Pricing]:
    """Return the prices by model id and alias from the answer of `/v1/models?include=pricing`.

    Entries without a price, of a kind that is not known, or broken are left out, each by itself.
    """
    entries = models_answer.get("data") if isinstance(models_answer, Mapping) else models_answer
    prices: dict[str, Pricing] = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and (pricing := _pricing(entry.get("pricing"))) is not None:
            prices.update(dict.fromkeys(_names(entry), pricing))
    return prices


def _names(entry: Mapping[str, Any]) -> Iterator[str]:
    aliases = entry.get("aliases")
    for name in [entry.get("id"), *(aliases if isinstance(aliases, list) else [])]:
        if isinstance(name, str):
            yield name


def _pricing(raw: Any) -> Pricing | None:
    if not isinstance(raw, Mapping) or raw.get("currency", "USD") != "USD":
        return None
    if raw.get("kind") == "variable":
        return Pricing()
    cases = {"fixed": [raw], "variants": raw.get("variants")}.get(str(raw.get("kind")))
    prices = [_price(case) for case in cases] if isinstance(cases, list) else []
    good = tuple(price for price in prices if price is not None)
    return Pricing(good) if good and len(good) == len(prices) else None


def _price(raw: Any) -> Price | None:
    if not isinstance(raw, Mapping):
        return None
    dollars, per, when = raw.get("price"), raw.get("per"), raw.get("when") or {}
    if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not 0 <= dollars < 1e6:
        return None
    if (per != "generation" and per != "second") or not isinstance(when, Mapping):  # noqa: PLR1714 - narrows the type
        return None
    return Price(float(dollars), per, dict(when))
