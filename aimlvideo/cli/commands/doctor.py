"""`aimlvideo doctor`: what is understood of a service, before the first purchase."""

from __future__ import annotations

from dataclasses import asdict

import typer

from aimlvideo.cli.doctor import Diagnosis, diagnose
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import JsonObject, ServiceOptions
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app, takes_groups
from aimlvideo.client import VideoClient
from aimlvideo.core.service_clock import offset_remark

app = command_app()
LOOKUP = {
    True: "requests are listed under the ids that we chose: a lost answer is looked up",
    False: "requests are listed without the ids that we chose: a lost answer stays in doubt",
    None: "whether requests can be looked up by the ids that we choose shows after the first one",
}


@app.command(epilog="Example: aimlvideo doctor")
@takes_groups
def doctor(
    access: ServiceOptions,
    json: JsonObject = False,
) -> None:
    """Ask every free endpoint of the service, and say what of its answers is understood; nothing is bought."""
    terminal = Terminal(json=json)
    with exit_codes(terminal):
        settings = access.client()

        async def ask() -> Diagnosis:
            async with VideoClient(**settings) as client:
                return await diagnose(client, client.base_url)

        diagnosis = in_loop(ask())
        if json:
            terminal.value({**asdict(diagnosis), "ok": diagnosis.is_well})
        else:
            _show(diagnosis, terminal)
        raise typer.Exit(0 if diagnosis.is_well else 1)


def _show(diagnosis: Diagnosis, terminal: Terminal) -> None:
    terminal.say(f"{diagnosis.service} at {diagnosis.base_url}")
    through = f", through the proxy {diagnosis.proxy}" if diagnosis.proxy else ""
    terminal.say(f"  {'over TLS, the certificate is checked' if diagnosis.tls else 'without TLS'}{through}")
    if diagnosis.key_is_exposed:
        terminal.remark("the API key goes over the network without TLS: use an address that begins with https://")
    if (offset := diagnosis.clock_offset) is None:
        terminal.remark("the service does not say its time, so this clock cannot be checked")
    elif (remark := offset_remark(-offset)) is not None:
        terminal.remark(remark)
    else:
        terminal.say(f"  this clock and the service's differ by {abs(offset):.0f} s")
    rows = [
        (finding.asked, "understood" if finding.understood else "NOT UNDERSTOOD", finding.detail)
        for finding in diagnosis.findings
    ]
    terminal.table(("question", "", "answer"), rows)
    if diagnosis.has_request_log:
        terminal.say(LOOKUP[diagnosis.ids_can_be_looked_up])
    for finding in diagnosis.findings:
        if not finding.understood:
            terminal.problem(f"{finding.asked}: {finding.detail}. Without it: {finding.without}")
    if diagnosis.is_well:
        terminal.say("every answer is understood")
