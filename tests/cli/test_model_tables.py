"""What the command shows of the catalogue and of a job file, before anybody draws it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from aimlvideo.cli.commands.check import _show
from aimlvideo.cli.commands.models import _change_rows
from aimlvideo.cli.cost_estimate import CheckSummary, Tally
from aimlvideo.cli.model_tables import ModelFilter, _price_of, example_line, model_page
from aimlvideo.cli.service_facts import ServiceFacts
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.eta import Durations, Estimate
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.money.pricing import Prices, Pricing
from aimlvideo.core.wires.aimlapi_models import _read_prices
from aimlvideo.shell.journal.memory import InMemoryJournal
from tests.cases import for_each

CATALOG = load_catalog()
V16 = "kling-video/v1.6/pro/image-to-video"
V3 = "klingai/video-v3-standard-image-to-video"


def fixed(dollars: float, per: str = "generation") -> dict[str, Any]:
    return {"kind": "fixed", "units": [{"name": per, "measure": per, "price": dollars, "per": 1}]}


def variants(*dollars: float) -> dict[str, Any]:
    return {"kind": "variants", "variants": [{"price": price, "unit": "video", "per": 1} for price in dollars]}


def prices(**by_name: dict[str, Any]) -> dict[str, Pricing]:
    return _read_prices([{"id": {"v16": V16, "v3": V3}[name], "pricing": raw} for name, raw in by_name.items()])


PRICES = prices(v16=fixed(0.5), v3=fixed(0.1, "second"))


def ids(words: str = "", **filters: Any) -> set[str]:
    return {row.id for row in ModelFilter(**filters).rows(CATALOG, words, prices=PRICES)}


def test_every_model_has_a_row() -> None:
    rows = ModelFilter().rows(CATALOG)
    assert {row.id for row in rows} == {model.id for model in CATALOG}
    assert all(row.takes for row in rows)


def test_words_are_looked_for_in_id_and_developer() -> None:
    assert ids("SORA") == {model.id for model in CATALOG if "sora" in model.id}
    assert "veo2" in ids("google")
    assert ids("xyzzy") == set()


def test_signs_alone_and_letters_that_no_id_has_find_nothing_instead_of_everything() -> None:
    assert {len(ids(words)) for words in ("!!", "\udcff", "模型", "sora 模型")} == {0}
    assert ids("sora -") == ids("sora")


def test_a_word_may_say_what_a_model_takes_as_its_line_does() -> None:
    assert "alibaba/wan-2-6-i2v" in ids("wan image"), "no `image` in its id"
    assert "alibaba/wan-2-6-t2v" not in ids("wan image")
    assert V3 in ids("image sound")
    assert V16 not in ids("image sound")


@for_each("words", ["kling 1.6 pro image", "Kling-v1.6/PRO image", "klimg v1.6 pro imag"])
def test_near_names_find_what_is_meant(words: str) -> None:
    assert V16 in ids(words)
    assert all("kling" in name and "pro" in name for name in ids(words))


def test_rows_say_what_goes_in_how_long_it_takes_and_what_it_costs() -> None:
    (row,) = ModelFilter().rows(CATALOG, V3, prices=PRICES)
    assert (row.developer, row.takes, row.audio) == ("klingai", "text, image, video", True)
    assert (row.seconds, row.price) == ("235", "$0.10 a second")
    (row,) = ModelFilter().rows(CATALOG, V3, times={V3: Durations(99.6, 200)})
    assert (row.seconds, row.price) == ("100", "")


def test_filters_for_pictures_sound_and_price() -> None:
    assert V16 in ids(image=True)
    assert "openai/sora-2-t2v" not in ids(image=True)
    assert ids(audio=True) >= {V3, "pixverse/lip-sync", "veed/fabric-1.0"}
    assert V16 not in ids(audio=True)
    assert ids(max_price=0.5) == {V16, V3}
    assert ids(max_price=0.49) == set()


@for_each(
    ("raw", "shown"),
    [
        (fixed(0.35), "$0.35"),
        (fixed(0.0425, "second"), "$0.0425 a second"),
        ({"kind": "variable"}, "varies"),
        (variants(0.2, 1), "$0.20 to $1.00"),
        (fixed(1, "frame"), "unknown"),
        (None, ""),
    ],
)
def test_prices_are_shown_with_per_what(raw: Any, shown: str) -> None:
    assert _price_of(_read_prices([{"id": "m", "pricing": raw}]).get("m")) == shown


@for_each("model", list(CATALOG), ids=lambda model: model.id)
def test_the_example_is_a_line_that_its_model_accepts(model: Model) -> None:
    line = json.loads(example_line(model))
    checked = check(VideoJob(**line), CATALOG, service=model.service, strict=True)
    assert not checked.problems
    assert not checked.warnings
    assert "\n" not in example_line(model)


def test_a_models_page_has_every_parameter_and_part() -> None:
    model = CATALOG.find(V3)
    assert model is not None
    page = model_page(model, PRICES[V3])
    rows = {row.name: row for row in page.params}
    assert rows.keys() > model.params.keys()
    assert rows["elements[].reference_image_urls"].required
    assert rows["duration"].takes == "a whole number from 3 to 15"
    assert (rows["duration"].default, rows["duration"].meaning) == ("5", "Length of the clip in seconds.")
    assert page.params[0].name == "image_url"
    assert ("price", "$0.10 a second") in page.facts
    assert ("takes about", "235 s by its documentation") in page.facts
    assert page.rules == ("Exactly one of prompt and multi_prompt.",)


def test_what_only_the_legacy_url_takes_is_marked() -> None:
    page = model_page(CATALOG.find(V16))  # type: ignore[arg-type]
    assert [row.name for row in page.params if "Legacy URL only" in row.meaning] == ["ratio", "aspect_ratio"]


def test_what_a_refresh_changed_is_shown_as_rows() -> None:
    entry = {"developer": "x", "path": "/v2/video/generations", "params": {"prompt": {"type": "string"}}}
    rows = _change_rows(CATALOG, {"x/new": entry, V16: {**entry, "params": {"prompt": {"type": "integer"}}}})
    assert ("added", "x/new", "", "") in rows
    assert ("changed", V16, "prompt", "a text → a whole number") in rows
    assert ("removed", V3, "", "") in rows


# -- what a job file costs and takes ----------------------------------------------------------------------------------


def summary(*jobs: tuple[str, dict[str, Any]], **given: Any) -> CheckSummary:
    tally = Tally(CATALOG, PRICES)
    for model, params in jobs:
        tally.add(model, params)
    return tally.summary({"max_outstanding": 20}, ServiceFacts(**given))


def test_jobs_and_prices_are_counted_by_model_and_in_all() -> None:
    found = summary((V16, {}), (V16, {}), (V3, {"duration": 10}), ("openai/sora-2-t2v", {}), balance=10)
    assert [(row.model, row.jobs, row.dollars, row.unquoted) for row in found.models] == [
        (V16, 2, 1.0, 0),
        (V3, 1, 1.0, 0),
        ("openai/sora-2-t2v", 1, None, 1),
    ]
    assert (found.jobs, found.dollars, found.unquoted, found.enough) == (4, 2.0, 1, None)


@for_each(
    ("balance", "dollars", "unquoted", "verdict"),
    [(2.0, 2.0, 0, True), (1.99, 2.0, 0, False), (1.99, 2.0, 5, False), (100.0, 2.0, 1, None), (0.0, 0.0, 0, True)],
)
def test_a_balance_surely_does_surely_does_not_or_nobody_knows(
    balance: float, dollars: float, unquoted: int, verdict: bool | None
) -> None:
    found = replace(summary((V3, {})), balance=balance, dollars=dollars, unquoted=unquoted)
    assert found.enough is verdict


@for_each(("price", "balance", "said"), [
    (1.0, 2.0, "balance: 2.00 USD, sufficient"),
    (1.0, 0.25, "balance: 0.25 USD, not sufficient"),
    (None, 2.0, "balance: 2.00 USD, unknown: some prices are missing"),
])  # fmt: skip
def test_a_check_says_whether_the_balance_is_sufficient(
    price: float | None, balance: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [(V3, {}), (V3, {}), *([] if price else [("veo2", {})])]
    _show(replace(summary(*jobs), balance=balance), ServiceFacts(), Terminal())
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert said in shown
    assert f"{V3} 2 1.00" in shown
    assert ("veo2 1 unknown 1" in shown) is (price is None)
    assert any(line.endswith("; no timing data for veo2") for line in shown) is (price is None)


@for_each(
    ("seconds", "said"),
    [(119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2.0 h"), (3 * 86400, "72.0 h"), (4 * 86400, "4 days")],
)
def test_how_long_a_file_takes_is_said_in_one_unit(
    seconds: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _show(replace(summary((V3, {})), estimate=Estimate(seconds, 60 * 86400)), ServiceFacts(), Terminal())
    assert f"about {said} (up to 60 days)\n" in capsys.readouterr().out


def test_without_prices_or_balance_nothing_is_said_to_cost_nothing() -> None:
    found = summary(("openai/sora-2-t2v", {}))
    assert (found.dollars, found.balance, found.enough) == (None, None, None)


def test_the_expected_length_comes_from_measured_times_else_from_the_documentation() -> None:
    assert summary((V16, {})).estimate.likely == pytest.approx(186, rel=0.01)
    assert summary((V16, {}), times={V16: Durations(60, 90)}).estimate.likely == pytest.approx(60)
    assert summary(("veo2", {})).estimate.guessed == ("veo2",)


def test_an_alias_costs_what_its_model_costs() -> None:
    raw = {"developer": "x", "path": "/", "params": {}, "aliases": ["short"]}
    tally, journal = Tally(load_catalog({V16: raw}), PRICES), InMemoryJournal()
    assert tally.add("short", {}) == 0.5
    tally.keep_prices(journal)
    assert Prices.of_text(journal.fact("prices")).keys() == {V16}
