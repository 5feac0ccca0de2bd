"""What jobs really cost, by the service's ledger and log."""

from __future__ import annotations

from itertools import chain
from typing import Any

from aimlvideo.cli.options import ClientOptions
from aimlvideo.cli.run_folder import SANDBOX
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.formatting import format_units, pluralize
from aimlvideo.core.jobs.request_ids import UNKNOWN_CLOCK_MARGIN, Intent
from aimlvideo.core.lost_submissions import WINDOW_MARGIN
from aimlvideo.core.money.account import Charge
from aimlvideo.core.money.reconcile import Reconciliation, reconcile
from aimlvideo.core.services import service_of
from aimlvideo.core.wires.base import Ledger
from aimlvideo.errors import ServiceError, Unclear, UsageError
from aimlvideo.shell import clock
from aimlvideo.shell.journal.base import SERVICE, JournalReader

MOST_EMPTY_PAGES = 100
"""Pages of a ledger in a row without a charge, after which more of them are no news: some cursors never end."""


def reconcile_jobs(journal: JournalReader, settings: ClientOptions, terminal: Terminal) -> int:
    """Say what jobs really cost by the ledger and the log, and what does not match; return 1 where anything does.

    The service that they were begun with is asked, whatever the settings name.
    """
    if journal.fact(SANDBOX):
        raise UsageError("these clips are an embedded sandbox's: nothing was paid, so no ledger has them")
    settings = {**settings, "service": journal.fact(SERVICE) or settings["service"]}
    service = service_of(settings["service"])
    if not service.ledgers:
        raise UsageError(f"{service.title} has no ledger to ask for: look at {service.key_url}")
    since = _earliest_submission(journal) - WINDOW_MARGIN

    async def ask() -> Reconciliation:
        async with VideoClient(**settings) as client:
            charges = [charge for ledger in service.ledgers for charge in await _ledger_since(client, ledger, since)]
            try:
                reading = await client.read_log(since)
                if not reading.complete:
                    terminal.problem("the service's log could not be read to its end: not all of it is compared")
                return reconcile(journal.all_jobs(), charges, reading.rows, journal.earlier_attempts())
            except ServiceError as error:
                terminal.problem(f"the service's log cannot be read; using the billing ledger only: {error}")
                return reconcile(journal.all_jobs(), charges, earlier_attempts=journal.earlier_attempts())

    reconciled = in_loop(ask())
    _show(reconciled, terminal)
    return 1 if reconciled.findings else 0


def _earliest_submission(journal: JournalReader) -> float:
    """Return when the first job may have been sent, in seconds since 1970 by the service's clock."""
    # The jobs are read twice instead of being kept: there may be very many.
    attempts = chain(
        (progress.attempt for _, progress in journal.all_jobs()), (attempt for _, attempt in journal.earlier_attempts())
    )
    submitted = ((one.request_id, one.submitted_at) for one in attempts if one.submitted_at)
    moments = (Intent.of(request_id).earliest_moment(submitted_at) for request_id, submitted_at in submitted)
    return min(moments, default=clock.wall() - UNKNOWN_CLOCK_MARGIN)


def _show(reconciled: Reconciliation, terminal: Terminal) -> None:
    has_units = any(bill.charged_units or bill.noted_units for bill in reconciled.bills)
    columns = ["job", "generation", "charged USD", "noted USD", "charged units", "noted units"][
        : None if has_units else 4
    ]
    rows = [
        (
            bill.job,
            bill.generation_id,
            *map(_or_unknown, (bill.charged, bill.noted, bill.charged_units, bill.noted_units)),
        )[: len(columns)]
        for bill in reconciled.bills
    ]
    terminal.table(columns, rows)
    units = f" and {format_units(reconciled.total_units)} units" if has_units else ""
    unreadable = f" ({reconciled.unreadable} of an amount that cannot be read)" if reconciled.unreadable else ""
    terminal.say(f"{reconciled.total:.4f} USD{units} for {pluralize(len(reconciled.bills), 'generation')}{unreadable}")
    if reconciled.elsewhere:
        others, dollars = pluralize(reconciled.elsewhere_generations, "generation"), reconciled.elsewhere_usd
        amount = "unknown" if dollars is None else f"{dollars:.2f}"
        units = f" and {format_units(reconciled.elsewhere_units)} units" if reconciled.elsewhere_units else ""
        terminal.say(f"{amount} USD{units} was charged by other programs on this account ({others})")
    for finding in reconciled.findings:
        terminal.problem(finding)
    if not reconciled.findings:
        terminal.say("everything matches")
    if terminal.json:
        terminal.value(_as_json(reconciled))


def _as_json(reconciled: Reconciliation) -> dict[str, Any]:
    """Return the same for a program; an amount that cannot be read, or that nobody noted, is None."""
    bills = [
        {
            "job": bill.job,
            "generation_id": bill.generation_id,
            "charged_usd": bill.charged,
            "noted_usd": bill.noted,
            "charged_units": bill.charged_units,
            "noted_units": bill.noted_units,
        }
        for bill in reconciled.bills
    ]
    return {
        "total_usd": reconciled.total,
        "total_units": reconciled.total_units,
        "unreadable": reconciled.unreadable,
        "bills": bills,
        "elsewhere": {
            "generations": reconciled.elsewhere_generations,
            "usd": reconciled.elsewhere_usd,
            "units": reconciled.elsewhere_units,
        },
        "findings": list(reconciled.findings),
    }


async def _ledger_since(client: VideoClient, ledger: Ledger, since: float) -> list[Charge]:
    """Return a ledger's charges since a moment (seconds since 1970), page by page."""
    charges: list[Charge] = []
    now = clock.wall()
    cursor: str | None = None
    earlier_cursors: set[str | None] = set()
    earlier_pages: set[tuple[Charge, ...]] = set()
    empty_pages = 0
    while cursor not in earlier_cursors and empty_pages < MOST_EMPTY_PAGES:
        earlier_cursors.add(cursor)
        page, cursor = ledger.read(await client.send(ledger.request(cursor, since, now)))
        if page and tuple(page) in earlier_pages:
            raise Unclear("the ledger gives a page again under another cursor: expected each charge once")
        earlier_pages.add(tuple(page))
        empty_pages = 0 if page else empty_pages + 1
        # A line without a readable date may be of any moment.
        dated = [charge.created_at for charge in page if charge.created_at]
        charges += (charge for charge in page if not charge.created_at or charge.created_at >= since)
        if cursor is None or (dated and dated[-1] < since):
            return charges
    what = "the same next page again" if cursor in earlier_cursors else f"more pages after {empty_pages} empty ones"
    raise Unclear(f"the ledger names {what}: {str(cursor)[:40]!r}")


def _or_unknown(usd: float | None) -> str:
    return "unknown" if usd is None else f"{usd:.4f}"
