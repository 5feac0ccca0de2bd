"""The account that all workers share: its limits, and what is outstanding and spent, in one row of the database."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from math import inf
from typing import Any, Literal, Self

from psycopg.rows import dict_row

from aimlvideo.core.limits import ConcurrencyLimit
from aimlvideo.errors import SettingsError
from aimlvideo.shell.journal.postgres_connection import Connection, required_row
from aimlvideo.shell.journal.postgres_schema import STAGE_COLUMNS

READ = "SELECT * FROM aimlvideo_account"
NARROW = """
    UPDATE aimlvideo_account SET narrowed_at = clock_timestamp(),
        room = greatest(0.9 * least(greatest(outstanding - 1, 1, room / 2), room), 1)
    WHERE narrowed_at IS NULL OR narrowed_at < clock_timestamp() - interval '5 s'
"""
"""A refusal narrows the room of all workers once: those that were in flight together are refused together."""
PAUSE = "UPDATE aimlvideo_rate SET due = greatest(due, clock_timestamp() + make_interval(secs => %s))"
LIVE = "SELECT count(*) FROM aimlvideo_workers WHERE seen_at > now() - make_interval(secs => %s)"


RANGES = {"max_outstanding": (1, 10_000_000), "heartbeat": (1, 86_400)}
"""What the database can count, and seconds after which somebody has to take over what a dead worker has."""


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """The limits of one account. `None` leaves one as it is; `max_outstanding` may be `auto`, `max_spend` infinite."""

    max_outstanding: int | Literal["auto"] | None = None
    rate: float | None = None
    poll_rate: float | None = None
    heartbeat: float | None = None
    max_spend: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.chosen().items():
            least, most = RANGES.get(name, (0, inf))
            in_range = value == "auto" if isinstance(value, str) else least <= value <= most
            if not in_range or (value in (0, inf) and name != "max_spend"):
                zero = "0 or more, or inf" if name == "max_spend" else "a number above 0"
                expected = f"{least} to {most:,}" if least else zero
                raise SettingsError(f"{_flag(name)} is {value}: expected {expected}")

    def chosen(self) -> dict[str, Any]:
        """Return the limits that are not left as they are."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}

    def __str__(self) -> str:
        return " ".join(
            f"{_flag(name)} {value if isinstance(value, str) else f'{value:.12g}'}"
            for name, value in self.chosen().items()
            if value != inf
        )

    async def set(self, connection: Connection) -> Account:
        """Set those limits that are given, for all workers at once; return the account."""
        chosen = self.chosen()
        values: dict[str, Any] = {**chosen}
        if chosen.get("max_spend") == inf:
            values["max_spend"] = None
        if "max_outstanding" in chosen:
            cap = values["max_outstanding"] = None if chosen["max_outstanding"] == "auto" else chosen["max_outstanding"]
            # What was learned under another limit says nothing about the new one.
            values |= {"room": ConcurrencyLimit(cap).limit, "narrowed_at": None}
        if values:
            assignments = ", ".join(f"{name} = %s" for name in values)
            await connection.execute(f"UPDATE aimlvideo_account SET {assignments}", tuple(values.values()))
        return await Account.read(connection)

    async def agree(self, connection: Connection) -> Account:
        """Return the account whose limits a new worker works under (inside a transaction: its row stays locked).

        These limits are set where no other worker lives. Raises SettingsError where one does, and it
        works under others.
        """
        account = await Account.read(connection, locked=True)
        current = account.limits.chosen()
        if all(current[name] == value for name, value in self.chosen().items()):
            return account
        # With nobody at work there is nobody to disagree with: limits of a run long past would only be in the way.
        row = await (await connection.execute(LIVE, (account.limits.heartbeat,))).fetchone()
        if row and row[0]:
            raise SettingsError(
                f"the other workers run with {account.limits}, this one was given {self}: give the same or none, or "
                "change them for all workers with `aimlvideo db limits`"
            )
        return await self.set(connection)


@dataclass(frozen=True, slots=True)
class Account:
    """The row as it was read. Money is in USD, `heartbeat` in seconds."""

    limits: AccountLimits
    room: int
    """How many generations may be outstanding at present."""
    outstanding: int
    jobs: dict[str, int]
    spent: float
    committed: float
    unknown_costs: int
    drained_at: datetime | None = None
    """When the workers were last told to drain, by the database's clock."""

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Return what a row says."""
        limits = AccountLimits(
            row["max_outstanding"] or "auto", row["rate"], row["poll_rate"], row["heartbeat"],
            inf if row["max_spend"] is None else row["max_spend"],
        )  # fmt: skip
        room = int(min(row["room"], row["max_outstanding"] or inf))
        jobs = {stage: row[stage] for stage in STAGE_COLUMNS if row[stage]}
        spent = row["spent"] + row["assumed"]
        # The database adds and takes away one by one: what is left of nothing may be a millionth of a cent below it.
        committed = max(0.0, round(row["committed"], 9))
        return cls(limits, room, row["outstanding"], jobs, spent, committed, row["unknown_costs"], row["drained_at"])

    @classmethod
    async def read(cls, connection: Connection, *, locked: bool = False) -> Self:
        """Return the account; with `locked`, nobody else changes it until the end of the transaction."""
        async with connection.cursor(row_factory=dict_row) as cursor:
            row = await (await cursor.execute(READ + (" FOR UPDATE" if locked else ""))).fetchone()
        return cls.of(required_row(row, "aimlvideo_account"))


def _flag(name: str) -> str:
    """Return a limit as the flag that sets it."""
    return f"--{name.replace('_', '-')}"
