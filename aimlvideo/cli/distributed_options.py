"""The options of the commands for many machines: the limits of the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from aimlvideo.cli.distributed_extra import distributed_extra
from aimlvideo.cli.options import PACE
from aimlvideo.errors import UsageError

if TYPE_CHECKING:
    from aimlvideo.distributed.account import AccountLimits

AccountMaxOutstanding = Annotated[
    str | None,
    typer.Option(help="Generations at a time across all workers, or auto.", show_default=False, rich_help_panel=PACE),
]
AccountRate = Annotated[
    float | None,
    typer.Option(help="Submissions per second across all workers.", show_default=False, rich_help_panel=PACE),
]
AccountPollRate = Annotated[
    float | None,
    typer.Option(help="Status checks per second across all workers.", show_default=False, rich_help_panel=PACE),
]
Heartbeat = Annotated[
    float | None,
    typer.Option(
        help="Seconds of silence after which other workers take over.", show_default=False, rich_help_panel=PACE
    ),
]
AccountMaxSpend = Annotated[
    float | None,
    typer.Option(
        help="USD that the whole list may cost; inf removes the limit.", show_default=False, rich_help_panel=PACE
    ),
]


def account_limits(
    max_outstanding: str | None,
    rate: float | None,
    poll_rate: float | None,
    heartbeat: float | None,
    max_spend: float | None,
) -> AccountLimits:
    """Return the limits that were given. Raises UsageError where one cannot be right."""
    with distributed_extra():
        from aimlvideo.distributed.account import AccountLimits  # noqa: PLC0415 - an extra
    if max_outstanding is None or max_outstanding == "auto":
        return AccountLimits("auto" if max_outstanding else None, rate, poll_rate, heartbeat, max_spend)
    if not max_outstanding.isdecimal():
        raise UsageError(f"--max-outstanding is {max_outstanding!r}: expected a whole number above 0, or auto")
    return AccountLimits(int(max_outstanding), rate, poll_rate, heartbeat, max_spend)
