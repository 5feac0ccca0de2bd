"""What a job costs by the service's price list, and the lists that a journal has. Money is in US dollars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self, TypeVar, get_args

from aimlvideo.core.catalog.model import Model
from aimlvideo.core.jobs.columns import MOST_COST

Per = Literal["generation", "second"]
Kept = TypeVar("Kept", list[str], dict[str, list[dict[str, Any]]])


@dataclass(frozen=True, slots=True)
class Price:
    """So many dollars per generation or per second of clip, when the parameters have the values in `when`.

    `dollars` is None where the list has a price for these values, in a unit that cannot be counted.
    """

    dollars: float | None
    per: Per
    when: Mapping[str, Any] = field(default_factory=dict)


class Pricing(NamedTuple):
    """The prices of one model, of which the first that holds counts; none for a model that cannot be quoted.

    `problem` says what of the published price could not be read.
    """

    prices: tuple[Price, ...] = ()
    problem: str = ""

    @property
    def span(self) -> tuple[float, float, Per] | None:
        """The lowest and the highest price, and per what; None without prices, or where some are per each."""
        dollars = [price.dollars for price in self.prices if price.dollars is not None]
        if not dollars or len({price.per for price in self.prices}) != 1:
            return None
        return min(dollars), max(dollars), self.prices[0].per

    def quote(self, model: Model, params: Mapping[str, Any]) -> float | None:
        """Return what these parameters cost in US dollars; None where that is unknown, never 0 for that.

        A parameter that is not given counts as its documented default; without one, its price is not known.
        """
        # The first that holds counts: lists put the special cases before the general one.
        for price in self.prices:
            cases = [_holds(model, params, name, value) for name, value in price.when.items()]
            if False in cases:
                continue
            return None if None in cases else _total(model, params, price)
        return None


class Prices(dict[str, Pricing]):
    """The service's price list: what models cost, by their ids and aliases."""

    def quote(self, name: str, model: Model | None, params: Mapping[str, Any]) -> float | None:
        """Return what a job of a model, which it calls by this name, costs in USD; None where that is unknown."""
        if model is None:
            return None
        # The list names a model by its id or by an alias, as the job may too.
        pricing = self.get(name) or self.get(model.id)
        return pricing.quote(model, params) if pricing else None

    @classmethod
    def of_text(cls, text: str | None) -> Self:
        """Return the prices that were kept as text, none where there is none. Raises ValueError for anything else."""
        return cls(_kept_prices(text))

    def as_text(self) -> str:
        """Return the prices as text, to be kept; `of_text` reads it."""
        by_model = {model: [asdict(price) for price in pricing.prices] for model, pricing in self.items()}
        # Sorted: a list in another order is the same list, and is kept once.
        return json.dumps(by_model, sort_keys=True)

    @classmethod
    def earlier(cls, text: str | None) -> list[Self]:
        """Return the lists before that one, as they were kept as text. Raises ValueError for what no run has kept."""
        return [cls.of_text(listed) for listed in _kept_lists(text)]


PRICES = "prices"
"""The name under which a journal has the price list that its run was given."""
EARLIER_PRICES = "earlier_prices"
"""The name under which a journal has the lists before that one: what was bought by them may be outstanding still."""


def with_earlier(earlier: str | None, listed: str | None, now: str) -> str:
    """Return the earlier price lists as text, with the one that is replaced now."""
    lists = _kept_lists(earlier)
    return json.dumps([*lists, listed] if listed and listed not in (now, *lists) else lists)


def _kept_lists(earlier: str | None) -> list[str]:
    lists = _parsed(earlier, list)
    if not all(isinstance(listed, str) for listed in lists):
        raise ValueError("expected a list of price lists")
    return lists


def _parsed(text: str | None, kind: type[Kept]) -> Kept:
    """Return what a text in JSON holds, if it is of this kind; an empty one where there is no text."""
    try:
        value = json.loads(text) if text else kind()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if type(value) is not kind:
        raise ValueError(f"expected a {kind.__name__}")
    return value


@lru_cache(maxsize=4)  # a command reads the list of its folder up to eight times
def _kept_prices(text: str | None) -> Mapping[str, Pricing]:
    by_model = _parsed(text, dict)
    try:
        kept = {model: tuple(_kept_price(**price) for price in prices) for model, prices in by_model.items()}
    except TypeError as error:
        raise ValueError(f"expected prices by model ({error})") from error
    return {model: Pricing(prices) for model, prices in kept.items()}


def _kept_price(dollars: float | None, per: Per, when: Mapping[str, Any]) -> Price:
    is_dollars = dollars is None or (type(dollars) in (int, float) and 0 <= dollars <= MOST_COST)
    if not is_dollars or per not in get_args(Per) or not isinstance(when, dict):
        raise ValueError(f"expected dollars per generation or second, got {dollars!r:.40} per {per!r:.40}")
    return Price(dollars, per, when)


def _holds(model: Model, params: Mapping[str, Any], name: str, value: Any) -> bool | None:
    actual = _value(model, params, name)
    if actual is None:
        return None
    return any(_same(actual, choice) for choice in (value if isinstance(value, list) else [value]))


def _same(actual: Any, value: Any) -> bool:
    """Compare as the price list writes values: 5, "5" and 5.0 are one, and so are "1080P" and "1080p"."""
    try:
        return float(actual) == float(value)
    except (TypeError, ValueError, OverflowError):
        return str(actual).lower() == str(value).lower()


def _value(model: Model, params: Mapping[str, Any], name: str) -> Any:
    if (value := params.get(name)) is not None:
        return value
    return model.params[name].default if name in model.params else None


def _total(model: Model, params: Mapping[str, Any], price: Price) -> float | None:
    if price.dollars is None:
        return None
    if price.per == "generation":
        return price.dollars
    try:
        total = price.dollars * float(_value(model, params, "duration"))
    except (TypeError, ValueError, OverflowError):
        return None
    # A duration is what somebody wrote: "nan" would pass every limit, and less than nothing would make room under it.
    return total if 0 <= total <= MOST_COST else None
