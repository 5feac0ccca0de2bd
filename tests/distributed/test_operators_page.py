"""What operators are given works: each command and flag is one of ours, each figure is one that a worker shows."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer.core
from prometheus_client import CollectorRegistry, generate_latest
from typer.testing import CliRunner

from aimlvideo.cli.app import app
from aimlvideo.core.limits import ConcurrencyLimit, PollBudget, RateLimiter
from aimlvideo.core.run_stats import RunStats
from aimlvideo.distributed.shared_account import Account, AccountLimits
from aimlvideo.distributed.worker import Worker
from aimlvideo.pipeline.limiters import Limiters, RateGate, SlotLimiter
from aimlvideo.views.metrics import _Readings
from tests.cases import for_each

yaml: Any = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
HERE = ROOT / "examples" / "distributed"
PAGE = (HERE / "README.md").read_text()
ALERTS = [rule for group in yaml.safe_load((HERE / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
PANELS = json.loads((HERE / "dashboard.json").read_text())["panels"]
COMPOSE = yaml.safe_load((HERE / "compose.yaml").read_text())
PLACEHOLDERS = {"PORT": "9101", "MORE": "300", "ID": "g-1", "%i": "9101", "N": "50"}


def figures() -> set[str]:
    """Return the names of the figures that a worker shows."""
    limiters = Limiters(SlotLimiter(ConcurrencyLimit(8)), RateGate(RateLimiter(5.0)), PollBudget(RateLimiter(50.0)))
    account = Account(AccountLimits(100, 5.0, 50.0, 30.0, 20.0), 100, 0, {}, 0.0, 0.0, 0)
    worker = SimpleNamespace(
        results=SimpleNamespace(stats=RunStats(), limiters=limiters), places={}, workers=1, account=account,
        journal=SimpleNamespace(unwritten=0),
    )  # fmt: skip
    registry = CollectorRegistry()
    registry.register(_Readings(lambda: Worker.metrics(cast(Worker, worker))))
    return set(re.findall(r"^(aimlvideo_\w+)", generate_latest(registry).decode(), re.MULTILINE))


def commands() -> Iterator[str]:
    """Yield every command of the page, of the unit, of compose and of the alerts."""
    for line in "\n".join(re.findall(r"^    .*$", PAGE, re.MULTILINE)).splitlines():
        if line.strip().startswith("aimlvideo "):
            yield line.partition(" #")[0].strip()
    yield from re.findall(r"`(aimlvideo [^`]+)`", PAGE)
    for rule in ALERTS:
        yield from re.findall(r"`(aimlvideo [^`]+)`", rule["annotations"]["summary"])
    unit = (HERE / "aimlvideo-worker@.service").read_text()
    started = re.findall(r"^ExecStart=\S*/(aimlvideo .*)$", unit, re.MULTILINE)
    options = re.findall(r"WORKER_OPTIONS=(-.*)$", unit, re.MULTILINE)
    assert (len(started), len(options)) == (1, 1)
    yield started[0].replace("$WORKER_OPTIONS", options[0])
    yield from re.findall(r"(aimlvideo db limits .*)$", unit, re.MULTILINE)
    for service in COMPOSE["services"].values():
        words = [*service.get("entrypoint", []), *service.get("command", [])]
        if words and service.get("image") is None:
            yield shlex.join(words if words[0] == "aimlvideo" else ["aimlvideo", *words])


@for_each("line", sorted(set(commands())))
def test_a_command_that_operators_are_told_is_one_of_ours(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typer.core, "HAS_RICH", False)  # a help without tables takes a tenth of the time
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line)[1:]]
    done = CliRunner().invoke(app, [*words, "--help"])  # an unknown command or flag is an error before the help
    assert done.exit_code == 0, done.output
    assert "Usage:" in done.output


@for_each(
    "expression", [rule["expr"] for rule in ALERTS] + [one["expr"] for panel in PANELS for one in panel["targets"]]
)
def test_the_figures_of_dashboard_and_alerts_are_those_that_a_worker_shows(expression: str) -> None:
    names = set(re.findall(r"aimlvideo_\w+", expression))
    assert names
    assert names <= figures()
    assert expression.count("(") == expression.count(")")


def test_every_figure_of_the_page_is_one_that_a_worker_shows() -> None:
    assert set(re.findall(r"`(aimlvideo_(?!\*)\w+)`", PAGE)) <= figures()


def test_every_alert_says_what_it_means() -> None:
    for rule in ALERTS:
        assert rule["alert"].isidentifier()
        assert rule["annotations"]["summary"].endswith(".")
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS) > 4


def test_the_image_installs_extras_that_there_are() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = re.findall(r"/source\[([\w,]+)\]", (HERE / "Dockerfile").read_text())
    assert [name for one in installed for name in one.split(",") if name not in extras] == []
    assert installed


def test_the_unit_gives_a_worker_the_time_that_it_takes_to_stop() -> None:
    from aimlvideo.distributed.worker import PARTING

    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    unit.read(HERE / "aimlvideo-worker@.service")
    assert float(unit["Service"]["TimeoutStopSec"]) > 2 * PARTING
    assert float(COMPOSE["services"]["worker"]["stop_grace_period"].rstrip("s")) > 2 * PARTING
    assert unit["Service"]["KillSignal"] == "SIGTERM"
