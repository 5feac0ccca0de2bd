"""What jobs really cost, by the service's ledger and log."""

from __future__ import annotations

import asyncio

from aimlvideo.cli.options import ClientOptions
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.formatting import pluralize
from aimlvideo.core.jobs.job import Record
from aimlvideo.core.limits import RateLimiter
from aimlvideo.core.lost_submissions import SKEW
from aimlvideo.core.money.ledger import Charge, LogRow
from aimlvideo.core.money.reconcile import Reconciliation, reconcile
from aimlvideo.core.services import service_of
from aimlvideo.core.services.base import Ledger, RequestLog
from aimlvideo.errors import ServiceError, UsageError
from aimlvideo.pipeline.limiters import RateGate
from aimlvideo.shell import clock


def reconcile_jobs(records: list[Record], settings: ClientOptions, terminal: Terminal) -> int:
    """Say what jobs really cost by the ledger and the log, and what does not match; return 1 where anything does."""
    service = service_of(settings["service"])
    ledger, request_log = service.ledger, service.log
    if ledger is None:
        raise UsageError(f"{service.title} has no ledger to ask for: look at {service.key_url}")
    since = min((known.submitted_at for _, known in records if known.submitted_at), default=clock.wall()) - SKEW

    async def asked() -> Reconciliation:
        async with VideoClient(**settings) as client:
            charges = await ledger_since(client, ledger, since)
            try:
                return reconcile(records, charges, await read_log(client, request_log, since) if request_log else ())
            except ServiceError as error:
                terminal.problem(f"the service's log cannot be read; using the billing ledger only: {error}")
                return reconcile(records, charges)

    reconciled = asyncio.run(asked())
    rows = [(bill.job, bill.generation_id, f"{bill.charged:.4f}", _or_unknown(bill.noted)) for bill in reconciled.bills]
    terminal.table(("job", "generation", "charged USD", "noted USD"), rows)
    terminal.say(f"{reconciled.total:.4f} USD for {pluralize(len(reconciled.bills), 'generation')}")
    if reconciled.elsewhere:
        others = pluralize(len(reconciled.elsewhere), "generation")
        dollars = sum(charge.usd for charge in reconciled.elsewhere)
        terminal.say(f"{dollars:.2f} USD was charged by other programs on this account ({others})")
    for finding in reconciled.findings:
        terminal.problem(finding)
    if not reconciled.findings:
        terminal.say("everything matches")
    return 1 if reconciled.findings else 0


async def ledger_since(client: VideoClient, ledger: Ledger, since: float) -> list[Charge]:
    """Return the ledger's charges since a moment (seconds since 1970), page by page from the newest."""
    charges: list[Charge] = []
    cursor: str | None = None
    while True:
        page, cursor = ledger.read(await client.send(ledger.request(cursor)))
        charges += (charge for charge in page if charge.created_at >= since)
        if cursor is None or (page and page[-1].created_at < since):
            return charges


async def read_log(client: VideoClient, request_log: RequestLog, since: float = 0.0) -> list[LogRow]:
    """Return the service's log since a moment (seconds since 1970), as far back as it can be asked, newest first."""
    turns, until = RateGate(RateLimiter(request_log.per_second, burst=5)), clock.wall()
    since = max(since, until - request_log.longest_window)
    rows: list[LogRow] = []
    while True:
        await turns.turn()
        page = request_log.read(await client.send(request_log.request(since, until, len(rows))))
        rows += page
        if not page:
            return rows


def _or_unknown(usd: float | None) -> str:
    return "unknown" if usd is None else f"{usd:.4f}"
