"""The picture of the poll policies: how often each asks against how late it sees the end, one panel a law."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from aimlvideo.core.polling.policy import LearnedPolls
from benchmarks.laws import LAWS, Cost, Floats, TimeLaw, best_polls, cost_of
from benchmarks.simulation import repeat

mpl.use("Agg")
import matplotlib.pyplot as plt

FACTORS = np.geomspace(1.12, 2.0, 14)  # of exponential backoff
INTERVALS = np.geomspace(0.1, 60, 40)
KNOWN_WAITS = (0.1, 0.5, 1.0, 10.0, 15.0)  # seconds between the polls of the SDKs that there are
JITTERED = 6.0  # and of one that waits for 6 s, give or take a half
PRICES = (0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
BLUE, RED, GREY = "#1f5fbf", "#c8452f", "#777777"


def every(interval: float, times: Floats) -> Cost:
    """Return what a fixed interval costs."""
    polls = np.ceil(times / interval)
    return Cost(polls, polls * interval - times)


def backing_off(first: float, factor: float, times: Floats) -> Cost:
    """Return what gaps cost that begin with `first` seconds and grow by `factor`, without end."""
    ages = np.cumsum(first * factor ** np.arange(0, 2 + int(np.log(4e4 * (factor - 1) / first + 1) / np.log(factor))))
    return cost_of(ages, times)


def jittered(interval: float, times: Floats) -> Cost:
    """Return what a fixed interval costs whose gaps are drawn between half and one and a half of it."""
    rng = np.random.default_rng(1)
    ages = np.cumsum(interval * (0.5 + rng.random((len(times), int(times.max() / interval * 2) + 50))), axis=1)
    index = (ages < times[:, None]).sum(axis=1)
    return Cost(index + 1.0, ages[np.arange(len(times)), index] - times)


def _points(costs: Sequence[Cost]) -> tuple[list[float], list[float]]:
    return [float(c.polls.mean()) for c in costs], [float(c.lags.mean()) for c in costs]


def _mark(axes: plt.Axes, cost: Cost, name: str, **look: object) -> None:
    (polls,), (lag,) = _points([cost])
    axes.plot(polls, lag, "o", color=GREY, ms=4, **look)
    axes.annotate(name, (polls, lag), (4, 3), textcoords="offset points", fontsize=7, color="#555")


def _panel(axes: plt.Axes, law: TimeLaw, seeds: int) -> None:
    runs = [repeat(lambda p=price: LearnedPolls(p), lambda rng: law.draw(rng, 200), seeds) for price in PRICES]
    times = runs[0][1][:, 100:].ravel()  # of the same generations everywhere
    axes.plot(*_points([every(i, times) for i in INTERVALS]), color=GREY, lw=1.2, label="fixed interval")
    offs = [backing_off(1.0, factor, times) for factor in FACTORS]
    axes.plot(*_points(offs), color=RED, lw=1.2, label="exponential backoff from 1 s")
    for wait in KNOWN_WAITS:
        known = {"label": "waits of known SDKs"} if wait == 1.0 else {}
        _mark(axes, every(wait, times), f"{wait:g} s", **known)
    _mark(axes, jittered(JITTERED, times), "6 s, jitter", mfc="white")
    best = [cost_of(best_polls(law, price), times) for price in PRICES]
    axes.plot(*_points(best), color="black", lw=1, ls=(0, (4, 2)), label="optimum (law known)", zorder=4)
    ours = [cost[100:] for cost, _ in runs]
    axes.plot(*_points(ours), color=BLUE, lw=1.6, marker=".", ms=5, label="aimlvideo, learned from nothing")
    usual = _points([ours[PRICES.index(0.5)]])
    axes.plot(*usual, "*", color=BLUE, ms=11, mec="white", mew=0.6, label="at its usual price", zorder=5)
    axes.set(xscale="log", yscale="log", ylim=(0.04, 120), xlim=(1, 6000))
    axes.set_title(law.name, fontsize=9)
    axes.minorticks_off()  # they would be half of the file
    axes.grid(visible=True, which="major", color="#e6e6e6", lw=0.6)
    axes.tick_params(labelsize=7)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")


def draw(path: Path, seeds: int) -> None:
    """Write the picture to `path`: `.svg` or `.png`."""
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "polling",
        "font.sans-serif": ["DejaVu Sans"],
        "axes.edgecolor": "#999",
    }
    with mpl.rc_context(settings):
        figure, panels = plt.subplots(2, 4, figsize=(11, 5.8), sharex=True, sharey=True, facecolor="white")
        for axes, law in zip(panels.flat, LAWS, strict=True):
            _panel(axes, law, seeds)
        figure.supxlabel("polls per generation", fontsize=9)
        figure.supylabel("seconds from its end until it is seen, mean", fontsize=9)
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper center", ncols=6, fontsize=8, frameon=False)
        figure.tight_layout(rect=(0.005, 0.0, 1, 0.95))
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(figure)
    if path.suffix == ".svg":
        text = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.1f}", path.read_text("utf-8"))
        path.write_text(re.sub(r' transform="rotate\(-0 [^"]*"', "", text), "utf-8")
