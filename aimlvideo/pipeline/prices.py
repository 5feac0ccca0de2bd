"""What clips cost by the service's price list, and the budget of a run that follows from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf

from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.money.budget import Budget, Spending, checked_limit
from aimlvideo.core.money.pricing import EARLIER_PRICES, PRICES, Prices, with_earlier
from aimlvideo.core.services.base import Service
from aimlvideo.errors import ServiceError
from aimlvideo.pipeline.request_log import Send
from aimlvideo.shell import clock
from aimlvideo.shell.journal.base import Journal

GOOD_FOR = 3600.0
"""Seconds after which the list is read again where a limit is kept by it."""

log = logging.getLogger("aimlvideo")


class PriceList:
    """The service's price list, as far as one client has read it."""

    def __init__(self, service: Service, catalog: Callable[[], Catalog]) -> None:
        self.listed = Prices()
        self._service, self._catalog = service, catalog
        self._read_at = -inf

    def price(self, job: VideoJob) -> float | None:
        """Return what a job costs in USD; None where unknown."""
        return self.listed.quote(job.model, self._catalog().find(job.model), job.params)

    async def read(self, send: Send) -> None:
        """Read the list as it is now, where the service has one. Raises ServiceError."""
        if (prices := self._service.prices) is not None:
            self.listed, self._read_at = prices.read(await send(prices.request)), clock.loop()

    async def refresh(self, send: Send, journal: Journal) -> None:
        """Read the list again where it has grown old since it was read: a run may go on for days.

        Where it cannot be had, the old one holds for another while.
        """
        read_before = self._read_at
        if not GOOD_FOR <= clock.loop() - read_before < inf:
            return
        self._read_at = clock.loop()  # whoever comes meanwhile does not ask as well
        try:
            await self.read(send)
        except ServiceError as error:
            log.warning("the prices could not be read again: %s", error)
        except BaseException:
            self._read_at = read_before  # the run was left: the next one asks
            raise
        else:
            keep_prices(journal, self.listed)

    async def budget(self, limit: float | None, journal: Journal, spending: Spending | None, send: Send) -> Budget:
        """Return a run's budget; the first run into a journal promises all that is outstanding there its price."""
        checked_limit(limit)
        if limit is not None and clock.loop() - self._read_at >= GOOD_FOR:
            # A list that a journal has kept, or a client has had for days, may be of last week: a limit is kept by what
            # is listed now.
            await self.read(send)
        if limit is not None and self.listed:
            # What is bought now may be outstanding still when its price has fallen: it is counted at what it cost.
            keep_prices(journal, self.listed)
        if spending is None:
            return Budget(limit)
        if limit is None:
            if not spending.is_read:
                spending.spent, spending.is_read = journal.spent(), True
        elif not spending.counted:
            spending.count(journal.all_jobs(), self._highest_price(journal), spent=journal.spent())
        else:
            spending.reprice(self._highest_price(journal))
        return Budget(limit, spending)

    def _highest_price(self, journal: Journal) -> Callable[[VideoJob], float | None]:
        """Return how to price what was bought before: as it is listed now, or was when it was bought, the higher."""
        # What was bought at last month's price is charged at that price: for a limit the higher of all counts.
        before = [Prices.of_text(journal.fact(PRICES)), *Prices.earlier(journal.fact(EARLIER_PRICES))]

        def price(job: VideoJob) -> float | None:
            model = self._catalog().find(job.model)
            quotes = (listed.quote(job.model, model, job.params) for listed in (self.listed, *before))
            return max((dollars for dollars in quotes if dollars is not None), default=None)

        return price


def keep_prices(journal: Journal, prices: Prices) -> None:
    """Write a price list into a journal, and the one that it replaces beside it."""
    before, listed = journal.fact(PRICES), prices.as_text()
    if before != listed:
        journal.note(EARLIER_PRICES, with_earlier(journal.fact(EARLIER_PRICES), before, listed))
        journal.note(PRICES, listed)
