"""The page as HTML (the one place that knows `jinja2`). What comes from jobs is escaped or data, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from aimlvideo import __version__

HERE = Path(__file__).parent
SCRIPTS = ("base", "totals", "gallery", "viewer", "charts", "comparison", "start", "live")
TABS = (
    ("clips", "Clips"), ("comparison", "Comparison"), ("failures", "Failures"), ("timeline", "Timeline"),
    ("times", "Times"), ("prices", "Prices"),
)  # fmt: skip


def page(
    title: str, run: Mapping[str, Any], cards: Iterable[Mapping[str, Any]], posters: Mapping[str, str]
) -> Iterator[str]:
    """Yield the text of the whole page, one file that needs nothing but the clips.

    The cards of the jobs are read as the text is: there may be any number of them.
    """
    template = _environment().get_template("page.html.j2")
    live = bool(run.get("live"))
    text = template.stream(
        title=title, run=run, cards=iter(cards), posters=posters, live=live, tabs=TABS, version=__version__, **_assets()
    )
    text.enable_buffering(500)
    yield from text


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "assets"), autoescape=select_autoescape(default=True, default_for_string=True)
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    return environment


@cache
def _assets() -> dict[str, Markup]:
    """Return our own and the vendored style and scripts: the only markup that is trusted."""
    return {
        "style": Markup(_read("vendor/uplot.css") + _read("assets/page.css")),
        "charts": Markup(_read("vendor/uplot.js")),
        "script": Markup("\n".join(_read(f"assets/{name}.js") for name in SCRIPTS)),
    }


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
