"""`aimlvideo balance`: what the account has left."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import JsonObject, ServiceOptions
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.formatting import format_units
from aimlvideo.core.money.account import KeyLimits, ResourcePack
from aimlvideo.core.services import service_of
from aimlvideo.errors import ServiceError, UsageError
from aimlvideo.settings import Settings
from aimlvideo.shell import clock
from aimlvideo.shell.http.transport import AskedService

app = CommandApp()


@app.command(epilog="Example: aimlvideo balance")
def balance(access: ServiceOptions, json: JsonObject = False) -> None:
    """Show what the account has left."""
    with exit_codes(json=json) as terminal:
        settings = access.client_options()
        account = service_of(access.service)
        dollars, packs = account.balance, account.packs
        if dollars is None and packs is None:
            raise UsageError(f"{account.title} has no balance to ask for: look at {account.key_url}")

        async def ask() -> tuple[list[str], dict[str, Any]]:
            async with AskedService.open(Settings.of(settings)) as service:
                if dollars is not None:
                    remaining = dollars.read(await service.send(dollars.request))
                    key = await _limits_of_key(service)
                    return [f"{remaining:.2f} USD", *_key_lines(key)], {"balance_usd": remaining, **_key_json(key)}
                assert packs is not None
                read = list(packs.read(await service.send(packs.request(clock.wall()))))
                lines = [_pack_line(pack) for pack in read] or ["no packs of units on this account"]
                return lines, {"packs": [_pack_json(pack) for pack in read]}

        lines, value = in_loop(ask())
        if json:
            terminal.value({"service": access.service, **value})
            return
        for line in lines:
            terminal.say(line)


async def _limits_of_key(asked: AskedService) -> KeyLimits | None:
    """Return what the key itself may do; None where the service does not say."""
    question = asked.service.key
    if question is not None:
        with suppress(ServiceError):
            return question.read(await asked.send(question.request, tries=1))
    return None


def _key_lines(key: KeyLimits | None) -> list[str]:
    """Return what the key itself may not do or spend."""
    if key is None:
        return []
    if problem := key.problem():
        return [problem]
    if key.max_remaining is None:
        return []
    return [f"{key.max_remaining:.2f} USD at most of it by this key: its own limit is {key.limit:.2f} USD"]


def _key_json(key: KeyLimits | None) -> dict[str, Any]:
    """Return the same for a program; None stands for a limit that the key does not have, or that nobody says."""
    if key is None:
        return {"key_limit_usd": None, "key_remaining_usd": None, "key_problem": None}
    return {"key_limit_usd": key.limit, "key_remaining_usd": key.max_remaining, "key_problem": key.problem() or None}


def _pack_json(pack: ResourcePack) -> dict[str, Any]:
    expires = None if pack.expires_at is None else datetime.fromtimestamp(pack.expires_at, UTC).isoformat()
    return {**pack._asdict(), "expires_at": expires}


def _pack_line(pack: ResourcePack) -> str:
    """Return what is left of a pack: `Video pack: 120 of 200 units left until 2027-01-31 (online)`."""
    remaining = "an unknown number of" if pack.remaining is None else format_units(pack.remaining)
    of = "" if pack.total is None else f" of {format_units(pack.total)}"
    until = "" if pack.expires_at is None else f" until {datetime.fromtimestamp(pack.expires_at, UTC):%Y-%m-%d}"
    return f"{pack.name}: {remaining}{of} units left{until}" + (f" ({pack.status})" if pack.status else "")
