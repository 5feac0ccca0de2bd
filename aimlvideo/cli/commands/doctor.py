"""`aimlvideo doctor`: what is understood of a service, before the first purchase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio
import typer

from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import JsonObject, ServiceOptions
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.client import VideoClient
from aimlvideo.core.catalog.openapi import Document
from aimlvideo.core.formatting import format_units, pluralize
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.request_ids import is_whole
from aimlvideo.core.links import LOOPBACK
from aimlvideo.core.lost_submissions import WINDOW_MARGIN
from aimlvideo.core.money.account import LogRow, ResourcePack
from aimlvideo.core.money.pricing import Pricing
from aimlvideo.core.service_clock import offset_remark
from aimlvideo.core.wires.base import Ledger, LookupById, Question, RequestLog, TimedQuestion
from aimlvideo.core.wires.expected_fields import BODY, Fields, Oddity, oddities
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import Busy, Refused, Rejected, ServiceError, Unclear
from aimlvideo.shell import clock
from aimlvideo.shell.http.proxies import Proxies
from aimlvideo.shell.state.catalog_cache import known_catalog

app = CommandApp()
LOOKUP = {
    True: "requests are listed under the ids that we chose: a lost answer is looked up",
    False: "requests are listed without the ids that we chose: a lost answer stays in doubt",
    None: "whether requests can be looked up by the ids that we choose shows after the first one",
}


@app.command(epilog="Example: aimlvideo doctor")
def doctor(
    access: ServiceOptions,
    json: JsonObject = False,
) -> None:
    """Ask each free question that a run relies on, and say what of the answers is understood; nothing is bought."""
    with exit_codes(json=json) as terminal:
        settings = access.client_options()

        async def ask() -> _Diagnosis:
            async with VideoClient(**settings) as client:
                return await _diagnose(client, client.base_url)

        diagnosis = in_loop(ask())
        if json:
            terminal.value({**asdict(diagnosis), "ok": diagnosis.is_well})
        else:
            _show(diagnosis, terminal)
        raise typer.Exit(0 if diagnosis.is_well else 1)


def _show(diagnosis: _Diagnosis, terminal: Terminal) -> None:
    terminal.say(f"{diagnosis.service} at {diagnosis.base_url}")
    through = f", through the proxy {diagnosis.proxy}" if diagnosis.proxy else ""
    terminal.say(f"  {'over TLS, the certificate is checked' if diagnosis.tls else 'without TLS'}{through}")
    if diagnosis.key_is_exposed:
        terminal.remark("the API key goes over the network without TLS: use an address that begins with https://")
    if (offset := diagnosis.clock_offset) is None:
        terminal.remark("the service does not say its time, so this clock cannot be checked")
    elif (remark := offset_remark(offset)) is not None:
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


T = TypeVar("T")
UNKNOWN_ID = "aimlvideo-doctor-asks-for-nothing"
"""No generation has this id: the answer shows how the service says so."""
DAY = 86_400.0
ANSWER_WITHIN = 15.0
"""Seconds in which a question has to be answered."""


@dataclass(frozen=True, slots=True)
class _Finding:
    """What came of one question. `without` is what does not work while it is not understood, `oddities` say why."""

    asked: str
    understood: bool
    detail: str
    without: str = ""
    oddities: tuple[Oddity, ...] = ()


@dataclass(slots=True)
class _Diagnosis:
    """Everything that was found of one service."""

    service: str
    base_url: str
    tls: bool
    proxy: str = ""
    clock_offset: float | None = None
    """Seconds by which the service's clock is ahead of this machine's; None where it does not say its time."""
    key_is_exposed: bool = False
    """Whether the key goes over a network without TLS."""
    ids_can_be_looked_up: bool | None = None
    """Whether the service lists a request under the id that we chose; None where nothing was there to tell by."""
    has_request_log: bool = False
    findings: list[_Finding] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether every answer was understood."""
        return all(finding.understood for finding in self.findings)


async def _diagnose(client: VideoClient, base_url: str) -> _Diagnosis:
    """Ask each free question that a run relies on, one after the other. Raises nothing for what is answered."""
    parts = urlsplit(base_url)
    tls = parts.scheme == "https"
    diagnosis = _Diagnosis(client.service.name, base_url, tls, Proxies.of_environment().passed_by(base_url))
    diagnosis.key_is_exposed = not tls and (parts.hostname or "") not in LOOPBACK
    doctor = _Doctor(client, diagnosis)
    service = client.service
    await doctor.ask_about("prices", service.prices, _prices, "--max-spend, and the price in check and run")
    if service.models is not None:
        await doctor.ask_for_a_document()
    await doctor.ask_about(
        "durations", service.durations, lambda durations: pluralize(len(durations), "model"),
        "a first guess of how long generations take; polls learn it by themselves",
    )  # fmt: skip
    await doctor.ask_about(
        "deprecations", service.deprecations, lambda deprecations: pluralize(len(deprecations), "model"),
        "warnings of models that go",
    )  # fmt: skip
    await doctor.ask_about(
        "balance",
        service.balance,
        lambda balance: f"{balance:.2f}",
        "balance, and the refusal to start with too little",
    )
    if service.packs is not None:
        await doctor.ask_for_packs(service.packs)
    await doctor.ask_about(
        "key", service.key, lambda limits: limits.problem() or "it may make videos", "the key's own limit and scopes"
    )
    await doctor.ask_for_lookup(service.lookup)
    for ledger in service.ledgers:
        await doctor.ask_for_ledger(ledger)
    await doctor.ask_for_nothing()
    return diagnosis


@dataclass(slots=True)
class _Doctor:
    client: VideoClient
    diagnosis: _Diagnosis

    async def ask_about(
        self, what: str, question: Question[T] | None, in_words: Callable[[T], str], without: str
    ) -> None:
        """Ask one question of a service that has it, and note what was understood."""
        if question is not None:
            await self.ask(
                what, question.request, lambda answer: in_words(question.read(answer)), question.fields, without
            )

    async def ask(
        self, what: str, request: Request, read: Callable[[Answer], str], fields: Fields, without: str
    ) -> Answer | None:
        """Ask one question and note what was understood of its answer; return the answer where there is one."""
        try:
            with anyio.fail_after(ANSWER_WITHIN):
                # One try: a service that is down has to be told of now, not after the patience of a run.
                answer = await self.client.send(request, tries=1)
        except TimeoutError:
            self._note(what, False, f"expected an answer within {ANSWER_WITHIN:.0f} s, got none that ended", without)
            return None
        except ServiceError as error:
            self._note(what, False, str(error), without)
            return None
        finally:
            # Answers that refuse have a date too.
            self.diagnosis.clock_offset = self.client.clock_offset
        odd = tuple(oddities(answer, fields)) if fields else ()
        try:
            detail, refused = read(answer), False
        except ServiceError as error:
            detail, refused = str(error), True
        # Of what is no JSON, the oddity shows the beginning; what the reader says of it would be the same once more.
        unreadable = bool(odd) and odd[0].field == BODY
        shown = [detail] if (refused and not unreadable) or not odd else []
        self._note(what, not (refused or odd), "; ".join([*shown, *map(str, odd[:3])]), without, odd)
        return None if refused else answer

    async def ask_for_packs(self, packs: TimedQuestion[tuple[ResourcePack, ...]]) -> None:
        """Ask for the packs of units that were bought beforehand."""
        await self.ask(
            "packs of units", packs.request(clock.wall()),
            lambda answer: "; ".join(map(_pack, packs.read(answer))) or "none",
            packs.fields, "balance, which shows them",
        )  # fmt: skip

    async def ask_for_ledger(self, ledger: Ledger) -> None:
        """Ask for the first page of a ledger, of the last day where it takes one."""
        now = clock.wall()
        question = ledger.request(None, now - DAY, now)
        is_only_one = len(self.client.service.ledgers) == 1
        await self.ask(
            "ledger" if is_only_one else f"ledger {question.path.rpartition('/')[2]}", question,
            lambda answer: pluralize(len(ledger.read(answer)[0]), "row"), ledger.fields, "reconcile",
        )  # fmt: skip

    async def ask_for_a_document(self) -> None:
        """Ask for the list of models, and for one model's document."""
        models = self.client.service.models
        assert models is not None
        without = "models --refresh; the shipped catalogue is used"
        listed: list[Any] = []

        def read_list(answer: Answer) -> str:
            try:
                listed.extend(models.read(answer.json()))
            except ValueError as error:
                raise Unclear(str(error), status=answer.status) from error
            if not listed:
                raise Unclear("expected a list of video models, got none", status=answer.status)
            return pluralize(len(listed), "video model")

        await self.ask("models", models.request(""), read_list, {}, without)
        described = next((model for model in listed if model.document), None)
        if described is None:
            return

        def read_document(answer: Answer) -> str:
            try:
                Document(answer.json()).catalog_entry(described.id, usual_path=models.usual_path)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise Unclear(f"{described.id}: {error}", status=answer.status) from error
            return f"{described.id}"

        await self.ask("one model's document", Request("GET", described.document), read_document, {}, without)

    async def ask_for_lookup(self, lookup: RequestLog | LookupById) -> None:
        """Ask for what the service keeps of our requests."""
        without = "a lost answer to a submission stays in doubt, and is settled by hand"
        if isinstance(lookup, RequestLog):
            self.diagnosis.has_request_log = True
            now = clock.wall() + (self.diagnosis.clock_offset or 0.0)

            def read_log(answer: Answer) -> str:
                rows = lookup.read(answer)
                self.diagnosis.ids_can_be_looked_up = _lists_our_ids(rows)
                return pluralize(len(rows), "row") + " of the last day"

            await self.ask(
                "request log", lookup.request(now - DAY, now + WINDOW_MARGIN, 0), read_log, lookup.fields, without
            )
            return

        def read_lookup(answer: Answer) -> str:
            try:
                generation = lookup.read(answer, UNKNOWN_ID)
            except Rejected:
                generation = None
            if generation is not None:
                # A gateway that answers any id with some task would settle a lost submission as accepted: nothing it
                # says by our ids can be believed.
                raise Unclear(f"a task is found under an id that nobody chose: {generation.id}", status=answer.status)
            return "a task that is not there is not found"

        name = self.client.service.name
        model = next((model.id for model in known_catalog() if name in model.services), None)
        if model is None:  # nothing can be asked for under an id of ours
            return
        job = VideoJob(model, prompt="doctor")
        await self.ask("lookup by our id", lookup.request(UNKNOWN_ID, job), read_lookup, {}, without)

    async def ask_for_nothing(self) -> None:
        """Ask for a generation that is not there: that this is said decides whether a lost one is noticed."""
        wire = self.client.wire

        def read_absence(answer: Answer) -> str:
            try:
                generation = wire.parse_status(answer, UNKNOWN_ID)
            except Rejected as error:
                return f"it is said not to be there ({error.status})"
            except (Refused, Busy):
                raise
            raise Unclear(
                f"expected that it is not there (404), got status {generation.status!r}", status=answer.status
            )

        # Where there are several places, the first one: of the last ones many a gateway has not even the path.
        request = wire.status(UNKNOWN_ID)[0]
        await self.ask("an unknown generation", request, read_absence, {}, "the end of generations that got lost")

    def _note(self, what: str, understood: bool, detail: str, without: str, odd: tuple[Oddity, ...] = ()) -> None:
        self.diagnosis.findings.append(_Finding(what, understood, detail, "" if understood else without, odd))


def _pack(pack: ResourcePack) -> str:
    return f"{pack.name}: {'unknown' if pack.remaining is None else format_units(pack.remaining)} left"


def _prices(prices: dict[str, Pricing]) -> str:
    """Say how many models have a readable price. Raises Unclear where none has."""
    problems = Counter(pricing.problem for pricing in prices.values() if pricing.problem)
    readable = sum(bool(pricing.span or pricing.prices) and not pricing.problem for pricing in prices.values())
    reasons = "; ".join(f"{problem} ({pluralize(count, 'model')})" for problem, count in problems.most_common(3))
    if not readable:
        raise Unclear(reasons or "expected a price in USD a second or a video, got none")
    return pluralize(readable, "model") + (f"; not read: {reasons}" if reasons else "")


def _lists_our_ids(rows: list[LogRow]) -> bool | None:
    if not rows:
        return None
    return any(is_whole(row.request_id) for row in rows)
