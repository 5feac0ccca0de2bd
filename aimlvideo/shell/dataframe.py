"""Results as a pandas DataFrame, and what an empty cell of one is. pandas need not be installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import SettingsError

MOMENTS = ("submitted_at", "completed_at", "saved_at")
AMOUNTS = ("cost_usd", "cost_units")
"""Columns of floats, NaN where unknown: of Nones alone pandas makes objects, which cannot be rounded."""


def to_frame(results: Iterable[Result]) -> Any:
    """Return a DataFrame with a row for each result: the columns of `results.jsonl`, moments as UTC timestamps.

    What only some lines of that file have (`cost_units`, `video_urls`, `files`) is a column where a result has it.

    `seconds` is the time from acceptance until it was seen ready. Raises SettingsError where pandas is missing.
    """
    try:
        import pandas  # noqa: PLC0415 - need not be there
    except ImportError as error:
        raise SettingsError("a data frame needs pandas: pip install pandas") from error
    rows = [result.row() | {"prompt": result.job.params.get("prompt")} for result in results]
    usual = Result(VideoJob(""), Stage.PLANNED).row()
    names = dict.fromkeys([*usual, *(name for row in rows for name in row if name != "prompt"), "prompt"])
    frame = pandas.DataFrame(rows, columns=[*names])
    for name in {*AMOUNTS} & {*frame.columns}:
        frame[name] = frame[name].astype("float64")
    for name in MOMENTS:
        frame[name] = pandas.to_datetime(frame[name], utc=True, format="ISO8601")
    frame["seconds"] = (frame["completed_at"] - frame["submitted_at"]).dt.total_seconds()
    return frame


def is_missing(value: Any) -> bool:
    """Tell None, NaN, NaT and NA, whatever library they are of: nothing else differs from itself."""
    if isinstance(value, float):
        return value != value  # noqa: PLR0124 - this is what NaN is
    return value is None or type(value).__name__ in ("NAType", "NaTType")
