"""What a job costs, and what a limit allows."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.budget import Budget, Spending, Verdict
from aimlvideo.core.money.pricing import Price, Prices, Pricing
from aimlvideo.core.wires.aimlapi_models import _read_prices
from aimlvideo.errors import GenerationFailed, LinkDead
from tests.cases import for_each
from tests.work import lines_run

V16 = "kling-video/v1.6/pro/image-to-video"
V3 = "klingai/video-v3-standard-image-to-video"


def fixed(price: Any, unit: Any = "video", per: Any = 1) -> dict[str, Any]:
    """Return a price as `/v1/models?include=pricing` has it."""
    return {"kind": "fixed", "currency": "USD", "units": [{"name": unit, "measure": unit, "price": price, "per": per}]}


FIXED = fixed(0.35)
VARIANTS = {
    "kind": "variants",
    "variants": [
        {"when": {"duration": 5, "generate_audio": True}, "price": 0.5, "unit": "video", "per": 1},
        {"when": {"duration": 5}, "price": 0.3, "unit": "video", "per": 1},
        {"when": {"duration": 10}, "price": 0.1, "unit": "second", "per": 1},
    ],
}


def price(pricing: Any, model: str = V3, **params: Any) -> float | None:
    known = load_catalog().find(model)
    assert known is not None
    listed = _read_prices({"data": [{"id": "m", "pricing": pricing}]}).get("m")
    return listed.quote(known, params) if listed else None


@for_each(
    ("pricing", "params", "dollars"),
    [
        (FIXED, {}, 0.35),
        (fixed(0.35, "second"), {"duration": 8}, 2.8),
        (fixed(0.35, "second"), {}, 1.75),
        (fixed(0.35, "second"), {"duration": 7.5}, 2.625),
        (VARIANTS, {"duration": 5}, 0.5),
        (VARIANTS, {}, 0.5),
        (VARIANTS, {"generate_audio": False}, 0.3),
        (VARIANTS, {"duration": 10}, 1.0),
        (VARIANTS, {"duration": 7}, None),
        ({"kind": "variable"}, {}, None),
        (fixed(0.35, "second"), {"duration": -1}, None),
        (fixed(0.35, "second"), {"duration": "nan"}, None),
        (fixed(0.35, "second"), {"duration": 10**400}, None),
        (VARIANTS, {"duration": 10**400}, None),
        (fixed(0), {}, 0.0),
        (
            {"kind": "variants", "variants": [{"when": {"resolution": "4k"}, "price": 1, "unit": "video", "per": 1}]},
            {},
            None,
        ),
        (fixed(350_000, "second", 1_000_000), {"duration": 8}, 2.8),
        (fixed(6, "minute"), {"duration": 10}, 1.0),
        (fixed(0.35, "generation"), {}, 0.35),
        (fixed(0.35, "REQUEST "), {}, 0.35),
        (fixed("0.35"), {}, 0.35),
        ({**FIXED, "units": [{"name": "output", "measure": "second", "price": 0.35, "per": 1}]}, {"duration": 10}, 3.5),
        ({"kind": "variants", "variants": [{"when": {"duration": "5"}, "price": 2, "unit": "video"}]}, {}, 2.0),
        ({"kind": "variants", "variants": [{"when": {"duration": [5, 10]}, "price": 2, "unit": "video"}]}, {}, 2.0),
        (
            {
                "kind": "variants",
                "variants": [
                    {"when": {"duration": 5}, "price": 2, "unit": "frame", "per": 1},
                    {"when": {}, "price": 1, "unit": "video", "per": 1},
                ],
            },
            {"duration": 5},
            None,
        ),
        (None, {}, None),
    ],
)
def test_a_price_is_the_first_that_holds_with_defaults_for_what_is_not_given(
    pricing: Any, params: dict[str, Any], dollars: float | None
) -> None:
    assert price(pricing, **params) == (None if dollars is None else pytest.approx(dollars))


def test_a_price_per_second_without_a_known_length_is_unknown() -> None:
    assert price(fixed(0.35, "second"), "minimax/hailuo-02") is None
    assert price(fixed(0.35, "second"), "krea/krea-wan-14b/text-to-video") is None


@for_each(
    "pricing",
    [
        7,
        [],
        {},
        {"kind": "weekly"},
        fixed("much"),
        fixed(True),
        fixed(-1),
        fixed(float("nan")),
        fixed(1e9),
        fixed(0.35, "frame"),
        fixed(0.35, None),
        fixed(0.35, "second", "second"),
        fixed(0.35, "second", 0),
        {**FIXED, "currency": "EUR"},
        {**FIXED, "units": []},
        {**FIXED, "units": [None]},
        {**FIXED, "units": FIXED["units"] * 2},
        {"kind": "variants"},
        {"kind": "variants", "variants": []},
        {"kind": "variants", "variants": [{"price": 1}]},
        {"kind": "variants", "variants": [{"when": 5, "price": 1, "unit": "second", "per": 1}]},
    ],
    ids=str,
)
def test_a_broken_price_is_unknown_by_itself_and_says_what_is_wrong(pricing: Any) -> None:
    prices = _read_prices({"data": [{"id": "broken", "pricing": pricing}, {"id": "good", "pricing": FIXED}]})
    assert prices["good"] == Pricing((Price(0.35, "generation"),))
    assert prices["broken"].problem.startswith("the published price")
    model = load_catalog().find(V3)
    assert model is not None
    assert prices["broken"].quote(model, {}) is None


@for_each("answer", [None, 5, "x", {}, {"data": 5}, [None, 7, {}], {"data": [{"pricing": FIXED}]}])
def test_an_answer_without_prices_gives_none(answer: Any) -> None:
    assert _read_prices(answer) == {}


@for_each(
    "wrong",
    [{"dollars": "0.25"}, {"dollars": True}, {"dollars": -1.0}, {"dollars": 1e300}, {"per": "minute"}, {"when": []}],
)
def test_a_price_list_that_was_kept_and_is_damaged_gives_no_price(wrong: dict[str, Any]) -> None:
    price = {"dollars": 0.25, "per": "second", "when": {"duration": 5}}
    for kept in (price, price | {"dollars": None}):
        assert Prices.of_text(Prices.of_text(json.dumps({"m": [kept]})).as_text())["m"].prices == (Price(**kept),)
    with pytest.raises(ValueError, match="expected dollars per generation or second"):
        Prices.of_text(json.dumps({"m": [price | wrong]}))


def test_a_price_list_that_was_kept_is_read_once_and_whoever_asks_has_one_of_its_own() -> None:
    text = json.dumps({f"model-{n}": [{"dollars": 0.25, "per": "second", "when": {}}] for n in range(50)})
    Prices.of_text(text).clear()
    assert len(Prices.of_text(text)) == 50
    assert lines_run(lambda: Prices.of_text(text)) < 10


def test_aliases_cost_the_same_and_a_list_is_an_answer_too() -> None:
    prices = _read_prices([{"id": "a", "aliases": ["b", 5], "pricing": FIXED}])
    assert prices.keys() == {"a", "b"}


def test_the_span_of_a_models_prices() -> None:
    both = _read_prices(
        [{"id": "a", "pricing": VARIANTS}, {"id": "b", "pricing": FIXED}, {"id": "c", "pricing": {"kind": "variable"}}]
    )
    assert both["a"].span is None
    assert both["b"].span == (0.35, 0.35, "generation")
    assert both["c"].span is None


# -- the spending account ---------------------------------------------------------------------------------------------


def test_ten_jobs_of_a_tenth_fit_a_limit_of_one_and_the_eleventh_does_not() -> None:
    budget = Budget(1.0)
    assert all(budget.commit(str(number), 0.1) for number in range(10))
    assert not budget.commit("eleventh", 0.1)
    for number in range(10):
        budget.settle(str(number), 0.1)
    assert budget.spent == pytest.approx(1.0)
    assert budget.committed == 0


def test_what_was_cheaper_or_not_accepted_makes_room() -> None:
    budget = Budget(1.0)
    assert budget.commit("a", 0.6)
    assert not budget.commit("b", 0.6)
    budget.settle("a", 0.3)
    assert budget.commit("b", 0.6)
    budget.release("b")
    budget.release("never promised")
    assert not budget.commit("c", 0.71)
    assert budget.commit("c", 0.7)


def test_what_is_promised_is_the_sum_of_those_that_are_under_way() -> None:
    budget = Budget(1.0)
    assert all(budget.commit(name, dollars) for name, dollars in (("a", 0.3), ("b", 0.2), ("c", 0.1)))
    budget.release("b")
    assert budget.committed == pytest.approx(0.4)
    budget.settle("a", 0.25)
    assert (budget.spent, budget.committed) == pytest.approx((0.25, 0.1))


def test_a_price_that_becomes_known_counts_once_for_what_is_still_under_way() -> None:
    spending = Spending()
    for name in ("ended", "running"):
        spending.promise(VideoJob("m", id=name), None)
    Budget(1.0, spending).release("ended")
    spending.reprice(lambda job: 0.5)
    assert (spending.committed, spending.has_unknown) == (0.5, False)
    spending.reprice(lambda job: 0.7)
    assert spending.committed == 0.5, "it was promised at its price of then"


def test_promising_the_same_job_again_promises_it_once() -> None:
    budget = Budget(1.0)
    assert budget.commit("a", 0.8)
    assert budget.commit("a", 0.9)
    assert budget.committed == pytest.approx(0.9)


def test_an_unknown_price_counts_as_the_highest_seen_for_the_model() -> None:
    budget = Budget(2.0)
    assert not budget.commit("a", None, model="m")
    assert budget.commit("b", 0.5, model="m")
    budget.settle("b", 0.7)
    assert budget.commit("c", None, model="m")
    assert budget.committed == pytest.approx(0.7)
    assert budget.commit("e", 0.1, model="m")
    assert budget.commit("f", None, model="m") is False
    assert not budget.commit("d", None, model="other")


def test_what_was_charged_nothing_says_nothing_of_what_the_next_one_costs() -> None:
    failed = Progress(Stage.FAILED, generation_id="g", error=GenerationFailed("out of paint"), cost_usd=0.0)
    budget = Budget(1.0)
    budget.spending.count([Record(VideoJob("m"), failed)], lambda job: None, spent=0.0)
    assert budget.verdict(None, (), model="m") is Verdict.UNPRICED
    budget.settle("unsaid", None)
    budget.spending.see("", 0.0)
    budget.spending.see("", 0.25)
    assert budget.spent == 0.25, "what nobody said the cost of still counts when a price is seen"


def test_without_a_limit_everything_passes_and_what_nobody_priced_adds_nothing() -> None:
    budget = Budget()
    assert budget.commit("a", None, model="m")
    budget.settle("a", None)
    budget.settle("unannounced", 0.25)
    assert budget.spent == 0.25


def test_a_job_that_nobody_says_the_cost_of_is_booked_as_promised_and_one_that_cost_nothing_as_nothing() -> None:
    budget = Budget(1.0)
    for name, cost in (("unsaid", None), ("free", 0.0)):
        assert budget.commit(name, 0.4)
        budget.settle(name, cost)
        assert (budget.spent, budget.committed) == (0.4, 0.0)


def test_clips_that_nobody_says_the_cost_of_count_as_soon_as_a_price_of_their_model_is_seen() -> None:
    budget = Budget()
    for name in ("a", "b"):
        assert budget.commit(name, None, model="m")
        budget.settle(name, None)
    assert budget.spent == 0.0
    budget.settle("c", 0.1)
    assert budget.commit("d", 0.25, model="m")
    assert budget.spent == pytest.approx(0.1 + 2 * 0.25)
    budget.release("d")
    assert budget.commit("e", 0.3, model="m")
    assert budget.spent == pytest.approx(0.1 + 2 * 0.25), "each is counted once"


def test_a_clip_that_was_paid_and_could_not_be_fetched_counts_although_nobody_said_its_cost() -> None:
    spending = Spending()
    unfetched = Progress(Stage.FAILED, generation_id="g", error=LinkDead("gone"))
    failed = Progress(Stage.FAILED, generation_id="h", error=GenerationFailed("out of memory"))
    records = [Record(VideoJob("m", id=str(number)), one) for number, one in enumerate((unfetched, failed))]
    spending.count(records, lambda job: 0.25, spent=0.0)
    assert spending.spent == 0.25


def test_clips_of_a_journal_whose_cost_nobody_said_count_as_the_highest_price_of_their_model() -> None:
    saved = Progress(Stage.SAVED, generation_id="g")
    prices = {"a": None, "b": 0.25, "c": 0.5, "d": None}
    records = [Record(VideoJob("n" if name == "d" else "m", id=name), saved) for name in prices]
    spending = Spending()
    spending.count(records, lambda job: prices[job.id], spent=0.0)
    assert spending.spent == 1.25


def test_what_a_journal_says_was_charged_in_all_counts_and_no_job_is_counted_twice() -> None:
    spending = Spending()
    spending.count([Record(VideoJob("m"), Progress(Stage.SAVED, cost_usd=0.25))], lambda job: None, spent=0.5)
    assert spending.spent == 0.5


def test_a_purchase_takes_as_many_steps_with_ten_thousand_outstanding_of_unknown_price_as_with_ten() -> None:
    def steps(outstanding: int) -> int:
        budget = Budget()
        for number in range(outstanding):
            budget.commit(f"job{number}", None, model="m")
        calls: list[str] = []
        sys.setprofile(lambda frame, event, value: calls.append(event))
        try:
            budget.commit("one more", None, model="m")
        finally:
            sys.setprofile(None)
        return len(calls)

    assert steps(10_000) == steps(10)


def test_what_is_outstanding_at_an_unknown_price_counts_as_the_highest_of_its_model_once_one_was_seen() -> None:
    budget = Budget(10.0)
    budget.spending.add("a", "m", None)
    budget.spending.add("b", "m", None)
    assert budget.spending.has_unknown
    budget.spending.see("m", 1.5)
    assert (budget.committed, budget.spending.has_unknown) == (3.0, False)
    budget.release("a")
    assert budget.committed == 1.5


def test_a_price_list_in_another_order_is_the_same_text() -> None:
    one, two = (Pricing((Price(dollars, "generation"),)) for dollars in (0.5, 1.0))
    assert Prices({"a": one, "b": two}).as_text() == Prices({"b": two, "a": one}).as_text()


def test_a_job_that_names_its_model_by_an_alias_costs_what_is_listed_for_its_id() -> None:
    model = load_catalog().find(V3)
    by_id, by_alias = (Prices({name: Pricing((Price(0.5, "generation"),))}) for name in (V3, "v3"))
    assert (by_id.quote("v3", model, {}), by_id.quote(V3, model, {})) == (0.5, 0.5)
    assert (by_alias.quote("v3", model, {}), by_alias.quote(V3, model, {})) == (0.5, None)
    assert by_id.quote(V3, None, {}) is None
