"""A world in virtual time: a service that charges, a machine whose clock is wrong, and processes that are killed."""

from __future__ import annotations

import asyncio
import json
import selectors
import shutil
import sqlite3
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self
from unittest.mock import patch

import anyio

from aimlvideo.cli import reconciliation, session
from aimlvideo.cli.agent_tools import AgentTools
from aimlvideo.cli.commands import recover
from aimlvideo.cli.commands.generate import ClipInputs, make_one
from aimlvideo.cli.commands.resume import carry_on
from aimlvideo.cli.commands.run import run_jobs
from aimlvideo.cli.options import JobFileOptions
from aimlvideo.cli.run_folder import RunFolder
from aimlvideo.cli.run_options import RunOptions
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.columns import PROGRESS_COLUMNS, progress_of
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Attempt, Record
from aimlvideo.core.jobs.request_ids import id_prefix
from aimlvideo.core.jobs.stages import OUTSTANDING, Stage
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import JournalError, Unclear, UsageError, VideoError
from aimlvideo.pipeline import download
from aimlvideo.shell import clock
from aimlvideo.shell.files import video
from aimlvideo.shell.files.downloads import Clip
from aimlvideo.shell.journal import sqlite_file, sqlite_transactions
from aimlvideo.shell.journal.sqlite_transactions import GroupCommit
from tests.fakes import (
    ASKING_KEY,
    GATEWAY_JOB,
    JOB,
    MODEL,
    FakeClient,
    FakeDownload,
    FakeGateway,
    FakeService,
    FakeTransport,
    LoggedRequest,
    answer,
    answer_about_tasks,
    at_once,
    business_error,
    in_newer_form,
    newer_task,
)

IDS = ("a", "b", "c", "d", "e", "f")
PROMPTS = ("waves", "hills")
MOST_POSTS = 25
"""Submissions that one process may send: each fault takes one, and no more than eight jobs are run at once."""
OWN_IDS = {f"{prefix}-{name}": name for prefix in ("own", "other") for name in IDS}
"""Jobs by the request ids that a person names for them: others in the other folder."""
OTHER_PLACE = "key-1 at another base URL"
MODELS = (MODEL, "kling-video/v1.6/standard/image-to-video")
ELSEWHERE = "elsewhere"
"""The place of what other programs buy on the same account."""
OTHER_FOLDER = "the other folder"
"""The place of what was bought into the folder that nobody works in now."""
IN_PATH = "Kling itself, a model that the path names"
KLING_ITSELF = ("Kling itself", "Kling itself, by its list", IN_PATH)
OTHER_SERVICES = {"aimlapi": "kling", "kling": "kling-official", "kling-official": "kling"}
"""With which service somebody tries the folder of each, by mistake."""
CENT = 0.005
STUCK = 40_000.0
"""Seconds of virtual time after which a run that does not end is ended."""


REFUSALS: Mapping[str, Answer | Unclear] = {
    "unsent": Unclear("reset"),
    "busy": answer(429, {"message": "Too Many Requests"}, retry_after="2"),
    "away": answer(503, {"message": "unavailable"}),
    "wrong": answer(400, {"message": "Body validation error"}),
    "broke": answer(200, {"message": "insufficient balance"}),
    "blocked": answer(200, {"error": {"message": "blocked by moderation"}}),
    "refused": answer(403, {"message": "You've run out of credits"}),
}


class Killed(BaseException):
    """The process is gone: nothing after this is written, sent or renamed."""


class BrokenPromise(AssertionError):
    """Something was bought twice, unasked, past the limit, or lost."""


class WorldSelector(selectors.SelectSelector):
    """Jump to the next timer: no thread or socket is in this world, so nothing is ever ready."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        # By a step that a sum of clocks can show: a timer that is never quite reached would be waited for without end.
        self._world.now += max(timeout, 1e-6) if timeout > 0 else 0.0
        return []


class WorldLoop(asyncio.SelectorEventLoop):
    """An event loop on the machine's time, which goes on from one process to the next."""

    def __init__(self, world: World) -> None:
        self._world = world
        super().__init__(WorldSelector(world))

    def time(self) -> float:
        return self._world.now - self._world.stood_still

    # No thread and no other process ever wakes it: a pair of sockets for that would be made for each process.
    def _make_self_pipe(self) -> None:
        """Make none."""

    def _close_self_pipe(self) -> None:
        """Close none."""

    def _write_to_self(self) -> None:
        """Wake nobody: this loop never sleeps."""


class Watching(FakeService):
    """A service that watches what it accepts: for whom, how often, and within which limit."""

    world: World
    doomed = ""
    """How the next generation that is accepted will fail: `unbilled`, or `billed`; empty: it will not."""
    then: Answer | Unclear | None = None
    """What it answers to every submission after those of which a twist is told."""
    lists_price = True
    """Whether its list has a price of the model."""
    says_cost = True
    """Whether a finished generation says what it cost."""
    date_offset = 0.0
    """Seconds by which the `Date` of its answers is off, as it is behind a proxy with a clock of its own."""
    date_is_of_this_machine = False
    """Whether a proxy on this very machine writes the `Date`, as nginx does."""
    unevenness = 0.0
    """By which part of its seconds every second generation takes longer: they end one after the other."""
    spoilt_ids = ""
    """What its log has in place of our id in every second row: `missing`, or `unreadable`; empty: our ids."""
    rows_offset = 0.0
    """Seconds by which the moments are off that its log has of its rows."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.billed: set[str] = set()
        """Generations that fail, and are charged."""
        self.repaired: set[str] = set()
        """Generations that had failed, and that the service has completed since."""

    async def send(self, request: Request) -> Answer:
        self.world.boundary()
        if request.method == "POST":
            if self.world.stops_at is not None and self.world.stops_at[0] is None:
                self.world.stand_still()
            if self.then is not None and not self.posts:
                self.posts.append(self.then)
            self.world.sends(request, self.posts[0] if self.posts else None)
        given = await super().send(request)
        if request.path == "/v1/models" and not self.lists_price:
            given = answer(200, {"data": [{"id": model, "aliases": []} for model in MODELS]})
        elif request.path == "/v1/models":
            (listed,) = json.loads(given.body)["data"]
            given = answer(200, {"data": [{**listed, "id": model} for model in MODELS]})
        self.world.boundary()
        if (self.date_offset or self.date_is_of_this_machine) and "date" in given.headers:
            now = self.world.wall() if self.date_is_of_this_machine else self.now()
            date = formatdate(now + self.date_offset, usegmt=True)
            return Answer(given.status, {**given.headers, "date": date}, given.body)
        return given

    def seconds_of(self, generation_id: str) -> float:
        is_slow = int(generation_id.rsplit("-", 1)[1]) % 2
        return self.seconds * (1 + self.unevenness * is_slow)

    def _row(self, row: LoggedRequest, at: float) -> dict[str, Any]:
        listed = super()._row(row, at + self.rows_offset)
        if row.generation_id in self.billed:
            listed["cost"] = {"usd": row.price}
        is_spoilt = self.spoilt_ids and int(row.generation_id.rsplit("-", 1)[1]) % 2
        return {**listed, "client_request_id": None if self.spoilt_ids == "missing" else {}} if is_spoilt else listed

    def _check(self, name: str) -> Answer:
        checked = super()._check(name)
        if name in self.billed and b'"error"' in checked.body:
            usage = {"usage": {"credits_used": int(self._rows[ASKING_KEY.get(), name].price * 2_000_000)}}
            return answer(200, {**json.loads(checked.body), "meta": usage})
        if self.says_cost or b'"meta"' not in checked.body:
            return checked
        return answer(200, {**json.loads(checked.body), "meta": {}})

    def note(self, name: str, request_id: str, model: str = MODEL) -> None:
        super().note(name, request_id, model)
        if self.doomed:
            self.broken[name] = "out of memory"
            self.billed |= {name} if self.doomed == "billed" else set()
            self.doomed = ""
        self.world.accepted(self.log[-1], self.bodies[-1])

    def has_failed(self, row: LoggedRequest) -> bool:
        """Tell whether a generation has ended unbilled."""
        return row.generation_id not in self.billed and self.has_no_clip(row)

    def has_no_clip(self, row: LoggedRequest) -> bool:
        """Tell whether a generation has failed, billed or not."""
        return row.generation_id in self.broken and self.clock() >= row.accepted_at + self.seconds_of(row.generation_id)

    def exposure(self, limit: float) -> float:
        """Return what is charged, and what is outstanding at its price, of all that was bought into the folder.

        Not what a run beside this one buys under a higher limit: it may come first, and be promised later.
        """
        place, uncounted = self.world.place, self.world.uncounted | self.repaired
        rows = (row for row in self.log if self.world.place_of[row.generation_id] == place)
        # A single file has a limit for each purchase.
        rows = (row for row in rows if not place or row.generation_id in self.world.bought_now)
        rows = (row for row in rows if row.generation_id not in uncounted)
        rows = (row for row in rows if not self.world.is_under_a_higher_limit(row, limit))
        return sum(self.known_price(row) for row in rows if not self.has_failed(row))

    def remaining(self) -> float:
        """Return what the account has left, in USD; infinite where nobody says."""
        is_told = self.lists_price and not self.world.gateway
        return self.balance - self.charged() if is_told else inf

    def is_charged(self, row: LoggedRequest) -> bool:
        """Tell whether the ledger has a charge for a generation: it has ended, and not failed."""
        has_ended = self.clock() >= row.accepted_at + self.seconds_of(row.generation_id)
        return has_ended and (row.generation_id not in self.broken or row.generation_id in self.billed)

    def buy_elsewhere(self, *, fails: bool) -> str:
        """Let another program buy a generation under the same key, and return its id."""
        name = f"gen-{len(self.accepted)}"
        self.accepted[name] = self.clock()
        self.world.place_of[name] = ELSEWHERE
        self.bodies.append({})
        super().note(name, "")
        if fails:
            self.broken[name] = "out of memory"
        return name

    def known_price(self, row: LoggedRequest) -> float:
        """Return what a generation costs; one that was bought when nobody had read the prices, by today's at most."""
        return min(row.price, self.price) if row.generation_id in self.world.unpriced else row.price


class PromisedService(Watching):
    """AI/ML API: a log of requests, a ledger, and prices."""

    def answer(self, request: Request) -> Answer:
        if request.path != "/v2/billing/transactions":
            return super().answer(request)
        charges = [
            {
                "created_at": self._iso(self.epoch + row.accepted_at + self.seconds_of(row.generation_id)),
                "direction": "CHARGE", "type": "MODEL_USAGE", "amount": {"usd": row.price},
                "reference_id": row.generation_id,
            }
            for row in reversed(self.log)
            if self.is_charged(row)
        ]  # fmt: skip
        since = int(dict(request.query).get("cursor", 0))
        until = since + self.page_rows
        pagination = {"has_more": until < len(charges), "next_cursor": str(until)}
        return answer(200, {"data": charges[since:until], "pagination": pagination})


class PromisedGateway(Watching, FakeGateway):
    """A gateway: tasks are found by the ids that the client chose, or not at all; Kling itself lists them, too."""

    lists_tasks: bool = False
    model_in_path: bool = False

    async def send(self, request: Request) -> Answer:
        if self.model_in_path:
            return await self._sent_to_path(request)
        query = dict(request.query)
        if request.path == "/tasks":
            return business_error(1202, "no such method", 404)
        if not (self.lists_tasks and "pageNum" in query):
            return await super().send(request)
        tasks, _ = self._page(int(query["pageNum"]), int(query["pageSize"]))
        return answer(200, {"code": 0, "message": "SUCCEED", "data": tasks})

    async def _sent_to_path(self, request: Request) -> Answer:
        """Answer as Kling does about models that a path names: by the same tasks, in the newer form."""
        body = request.body or {}
        if request.path != "/tasks" and request.method == "GET":
            is_list = "pageNum" in dict(request.query)
            return answer(200, {"code": 0, "data": []}) if is_list else business_error(1203, "not found", 404)
        if request.path != "/tasks":
            flat = {**body, **body.get("options", {}), "model": request.path.rpartition("/")[2]}
            return in_newer_form(await super().send(replace(request, body=flat)))
        if request.method == "POST":
            number = int(body["cursor"] or 1)
            tasks, has_more = self._page(number, body["limit"])
            page = {"result": list(map(newer_task, tasks)), "next_cursor": str(number + 1), "has_more": has_more}
            return answer(200, {"code": 0, "message": "SUCCEED", "data": page})
        return await answer_about_tasks(super().send, request)

    def _page(self, number: int, size: int) -> tuple[list[dict[str, Any]], bool]:
        """Return a page of the asking key's tasks, newest first, and whether another one follows."""
        self.world.boundary()
        size = min(size, self.page_rows)
        rows = [row for row in reversed(self.log) if row.key == ASKING_KEY.get()]
        names = [row.generation_id for row in rows[(number - 1) * size : number * size]]
        tasks = [json.loads(self._task(name).body)["data"] for name in names]
        moments = (int((self.epoch + self.accepted[name]) * 1000) for name in names)
        listed = [{**task, "created_at": moment} for task, moment in zip(tasks, moments, strict=True)]
        return listed, number * size < len(rows)


def png() -> bytes:
    """Return a small grey picture, for the frames of clips that are none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress((b"\0" + b"\x80" * 320) * 320)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 320, 320, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


FRAME = png()


JOBS = f"SELECT id, asked, {', '.join(PROGRESS_COLUMNS)} FROM jobs ORDER BY seq"
EARLIER_ATTEMPTS = """
    SELECT jobs.id, a.request_id, a.generation_id, a.account, a.submitted_at, a.service_time, a.stage, a.cost_usd,
        a.cost_units FROM attempts a JOIN jobs ON jobs.seq = a.job ORDER BY a.rowid
"""


class Journal(NamedTuple):
    """What a journal has, as it was read after the last process."""

    records: Mapping[str, Record] = MappingProxyType({})
    attempts: Mapping[str, Sequence[Attempt]] = MappingProxyType({})
    recovered: frozenset[str] = frozenset()
    """Generations that the service's log has for jobs which are not planned yet."""

    @classmethod
    def of(cls, path: Path, names: Mapping[str, str]) -> Self | None:
        """Return what a journal has now, by the names of its jobs; None where there is none."""
        if not path.exists():
            return None
        # Of a journal that was closed, and that nobody writes to now, SQLite makes no files beside it, and locks none.
        # The next process looks whether it is whole.
        how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
        records: dict[str, Record] = {}
        attempts: dict[str, list[Attempt]] = {}
        with closing(sqlite3.connect(f"file:{path}?{how}", uri=True)) as journal:
            earlier = defaultdict[str, list[Attempt]](list)
            for job_id, *values, stage, dollars, units in journal.execute(EARLIER_ATTEMPTS):
                earlier[job_id].append(Attempt._make((*values, Stage(stage), dollars, units)))
            for job_id, content, *columns in journal.execute(JOBS):
                name, progress = names.get(job_id, job_id), progress_of(columns)
                records[name] = Record(VideoJob.of_content(job_id, content), progress)
                attempts[name] = [*earlier[job_id], *([progress.attempt] if progress.has_attempt else [])]
            recovered = frozenset(name for (name,) in journal.execute("SELECT generation_id FROM found"))
        return cls(records, attempts, recovered)


class OtherFolder(NamedTuple):
    """What is so of the folder that nobody works in now."""

    name: str = "beside"
    removed: frozenset[str] = frozenset()
    has_no_results: bool = False
    is_harmed: bool = False
    own_prefix: str = "other"


@dataclass
class World:
    """One folder, one service, one machine; what was agreed to, and what must hold after every step."""

    folder: Path
    now: float = 1000.0
    wall_offset: float = 0.0
    stood_still: float = 0.0
    """Seconds for which this machine stood still, with all its clocks, as one in a cloud does that is moved."""
    gateway: str = ""
    """Empty for AI/ML API; for a gateway, what it does with our ids: `finds ids` or `ignores ids`; `KLING_ITSELF`."""
    other_service: bool = False
    """Whether the next process is told another service than the folder's, by mistake."""
    deadly: int | None = None
    stops_at: tuple[int | None, float] | None = None
    """At which moment of this process the machine stands still, and for how many seconds; None: before it submits."""
    boundaries: int = 0
    dead: bool = False
    allowed: dict[str, str] = field(default_factory=dict)
    """What may be bought now: the prompt by job id."""
    limits: dict[str, float | None] = field(default_factory=dict)
    """The spending limit of the run that asks for a job; of several, the highest."""
    reads_prices: bool = True
    """Whether this process has read the list of prices: without a limit, or a file, it has no reason to."""
    unpriced: set[str] = field(default_factory=set)
    """Generations that were bought by a process that had not, or that were not listed."""
    patience: float = 900.0
    """Seconds for which a process waits for one generation."""
    download_seconds: float = 0.0
    """How long a clip is written by a thread that no cancellation stops."""
    denials: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often in a row a job was sent, by place, and neither accepted nor refused."""
    sent: set[str] = field(default_factory=set)
    """The request ids of all submissions."""
    lost_journal_at: float | None = None
    """When the journal of this process was taken away under it."""
    posts_before: int = 0
    """How many submissions earlier processes have sent."""
    place: str = ""
    """The file that this process makes; empty for the folder."""
    place_of: dict[str, str] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=dict)
    """What each generation was bought for, in words."""
    bought_now: set[str] = field(default_factory=set)
    """Generations that this process has bought."""
    delivered: set[str] = field(default_factory=set)
    """Generations that are in the file that they were bought for, and that may be bought again by whoever says so."""
    journals: dict[str, Journal] = field(default_factory=dict)
    """What the folder's journal, and those beside files, have: by place, as the last process of that place left it."""
    recovered: set[str] = field(default_factory=set)
    """Generations whose journal was lost after they had ended: results and log have their ids, and no request's."""
    named: set[str] = field(default_factory=set)
    """Those that a person was told of who rebuilt a journal: the log had a newer one under the same id."""
    uncounted: set[str] = field(default_factory=set)
    """Those that were in the log alone: nobody can tell which folder they were bought for, and what it has spent."""
    is_lost: bool = False
    """Whether the folder's journal was lost, and is not rebuilt so far."""
    is_older: bool = False
    """Whether the folder's journal is an older copy, and not refused so far."""
    dates_were_wrong: bool = False
    """Whether the service's answers ever said a time that is not its own."""
    removed: set[str] = field(default_factory=set)
    """The names of clips that a person has removed, and no run has brought again."""
    has_no_results: bool = False
    """Whether a person has removed the results, and no run has written them anew."""
    is_harmed: bool = False
    """Whether clips may be missing, since somebody moved or deleted things under a run."""
    own_prefix: str = "own"
    """How the request ids begin that a person names."""
    other_folder: OtherFolder = field(default_factory=OtherFolder)
    broken: BrokenPromise | None = None
    """The first purchase that should not have been made."""
    steps: int = 0
    runs: int = 0
    endings: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.template: dict[str, Any] = GATEWAY_JOB if self.gateway else JOB
        if self.gateway == IN_PATH:
            self.template = {"model": "kling-3.0-turbo", "prompt": PROMPTS[0], "duration": 5}
        self.service: Watching = (PromisedGateway if self.gateway else PromisedService)(
            seconds=30, clock=lambda: self.now
        )
        self.service.world = self
        if isinstance(self.service, PromisedGateway):
            self.service.model_in_path = self.gateway == IN_PATH
            self.service.finds_ids = self.gateway in ("finds ids", "Kling itself", IN_PATH)
            self.service.lists_tasks = self.gateway in KLING_ITSELF
        derived = {self.words(prompt).id: prompt for prompt in PROMPTS}
        copies = {f"{job_id}-{number}": f"{name}-{number}" for job_id, name in derived.items() for number in (2, 3, 4)}
        self.names = {name: name for name in IDS} | derived | copies
        models = {self.model_of(prompt) for prompt in PROMPTS}
        jobs = ((VideoJob(model, id=job_id), name) for model in models for job_id, name in self.names.items())
        self.prefixes = {id_prefix(job): name for job, name in jobs}

    def words(self, prompt: str) -> VideoJob:
        """Return the job that a command for one clip makes of these words."""
        return VideoJob(**{**self.template, "prompt": prompt, "model": self.model_of(prompt)})

    def model_of(self, prompt: str) -> str:
        """Return the model that makes a clip: other words are for another one, where it is not a gateway's."""
        return str(self.template["model"]) if self.gateway else MODELS[PROMPTS.index(prompt)]

    def name_of(self, row: LoggedRequest) -> str:
        """Return the job for which a request was sent."""
        return self.name_by_id(row.request_id)

    def name_by_id(self, request_id: str) -> str:
        """Return the job of a request id: one of the job's own is `own-` and its name."""
        return OWN_IDS.get(request_id) or self.prefixes[request_id[:15]]

    def jobs(self, prompts: Mapping[str, str], *, own_ids: bool, chained: bool) -> list[dict[str, Any]]:
        """Return the lines of a file. With `chained`, the last job begins with the last frame of the first."""
        lines = []
        for name, prompt in prompts.items():
            named = {"id": name} if name in IDS else {}
            line = {**self.template, **named, "prompt": prompt, "model": self.model_of(prompt)}
            if own_ids and self.gateway:
                line["external_task_id"] = f"{self.own_prefix}-{name}"
            if chained and not self.gateway and name == IDS[-1]:
                line["image_url"] = {"from": IDS[0], "frame": "last"}
            lines.append(line)
        return lines

    # What happens --------------------------------------------------------------------------------------------------

    def boundary(self) -> None:
        """Pass a moment at which the process may die; once it is dead, nothing is done any more."""
        self.boundaries += 1
        if self.stops_at is not None and self.stops_at[0] is not None and self.boundaries > self.stops_at[0]:
            self.stand_still()
        if self.deadly is not None and self.boundaries > self.deadly:
            self.dead = True
        if self.dead:
            raise Killed

    def sends(self, request: Request, twist: Answer | VideoError | None) -> None:
        """Judge a submission before it arrives: a job that was sent twice in vain is left in doubt."""
        request_id = request.headers.get("X-Client-Request-Id") or request.body.get("external_task_id") or ""
        job = self.place, self.name_by_id(request_id)
        if request_id in self.sent and request_id not in OWN_IDS:
            self.broken = self.broken or BrokenPromise(f"{request_id} was sent twice: nobody could tell which is which")
        self.sent.add(request_id)
        if self.denials[job] > 1:
            self.broken = self.broken or BrokenPromise(f"job {job[1]} was sent again, and twice its answer was lost")
        self.denials[job] = self.denials[job] + 1 if isinstance(twist, Unclear) else 0

    def accepted(self, row: LoggedRequest, body: Any) -> None:
        """Judge a purchase at the moment at which it is made: what is raised here, the client would contain."""
        if not self.reads_prices or not self.service.lists_price:
            self.unpriced.add(row.generation_id)
        self.place_of[row.generation_id] = self.place
        self.prompts[row.generation_id] = body["prompt"]
        self.bought_now.add(row.generation_id)
        try:
            self._judge(row, body)
        except BrokenPromise as broken:
            self.broken = self.broken or broken

    def _judge(self, row: LoggedRequest, body: Any) -> None:
        name = self.name_of(row)
        # What was under way, or whose intent was on disk, when the journal went is bought still.
        if self.lost_journal_at is not None and self.now > self.lost_journal_at + 1:
            raise BrokenPromise(f"job {name} was bought {self.now - self.lost_journal_at:.0f} s after its journal went")
        if name not in self.allowed:
            raise BrokenPromise(f"job {name} was bought and nobody asked for it: {sorted(self.allowed)} were asked for")
        if body["prompt"] != self.allowed[name]:
            raise BrokenPromise(f"job {name} was bought as {body['prompt']!r}, not as {self.allowed[name]!r}")
        if str(body.get("image_url")).startswith("data:") and not self._has_clip(IDS[0]):
            raise BrokenPromise(f"job {name} was bought before the clip was there that it begins with")
        before = [other for other in self.service.log[:-1] if self._is_same(other, row)]
        if any(not self._may_follow(other, row) for other in before):
            raise BrokenPromise(
                f"job {name} was bought twice: {[other.request_id for other in before]}, {row.request_id}"
            )
        limit = self.limits.get(name)
        if limit is not None and (exposure := self.service.exposure(limit)) > limit + CENT:
            raise BrokenPromise(f"{exposure:.2f} USD are bought under a limit of {limit:.2f}")

    def _has_clip(self, name: str) -> bool:
        """Tell whether the clip of a job is in the folder."""
        links = [f"/{row.generation_id}.mp4" for row in self.service.log if self.name_of(row) == name]
        return any(link in clip.read_text() for clip in self.folder.glob("*.mp4") for link in links)

    def is_under_a_higher_limit(self, row: LoggedRequest, limit: float) -> bool:
        """Tell whether a purchase is one of this process, and of a run with a higher limit, or none."""
        if row.generation_id not in self.bought_now:
            return False
        other = self.limits.get(self.name_of(row))
        return other is None or other > limit

    def _may_follow(self, other: LoggedRequest, row: LoggedRequest) -> bool:
        """Tell whether a job may be bought again after an earlier generation: it has failed, for all that is known."""
        name = other.generation_id
        # Other words are for another clip, where only the log has the first, and under another model.
        has_other_words = self.prompts[name] != self.prompts[row.generation_id]
        is_unknown = name in self.service.repaired and has_other_words
        if self.service.has_failed(other) or is_unknown or (name in self.uncounted and has_other_words):
            return True
        owned = {attempt.generation_id for tried in self.journal_of().attempts.values() for attempt in tried}
        # What became of a single file was said; its journal goes with it.
        return self.service.has_no_clip(other) and (bool(self.place) or name in owned | self.uncounted)

    def _is_same(self, other: LoggedRequest, row: LoggedRequest) -> bool:
        """Tell whether two purchases are one that was made twice."""
        same_place = self.place_of[other.generation_id] == self.place_of[row.generation_id]
        return same_place and self.name_of(other) == self.name_of(row) and other.generation_id not in self.delivered

    def go_to_the_other_folder(self) -> None:
        """Work from here on in another folder, for the same service, whose jobs have the same ids."""
        left = OtherFolder(
            self.folder.name, frozenset(self.removed), self.has_no_results, self.is_harmed, self.own_prefix
        )
        name, removed, self.has_no_results, self.is_harmed, self.own_prefix = self.other_folder
        self.folder, self.removed, self.other_folder = self.folder.with_name(name), set(removed), left
        swapped = {"": OTHER_FOLDER, OTHER_FOLDER: ""}
        self.place_of = {name: swapped.get(place, place) for name, place in self.place_of.items()}
        self.journals = {swapped.get(place, place): journal for place, journal in self.journals.items()}
        self.denials = Counter({(swapped.get(place, place), job): n for (place, job), n in self.denials.items()})

    def set_faults(self, faults: Sequence[str], then: str | None) -> None:
        """Say what becomes of the next submissions, in order, and of all that follow them."""
        service = self.service
        service.posts.clear()
        service.lost.clear()
        for fault in faults:
            service.posts.append(REFUSALS.get(fault))
            if fault not in REFUSALS:
                mixed_up = None if service.lost else self._answer_to_another()
                service.lost.append({"lost": Unclear("reset"), "cut": answer(502), "mixed up": mixed_up}.get(fault))
        service.then = None if then is None else REFUSALS[then]

    def _answer_to_another(self) -> Answer | None:
        """Return the answer to the submission before, which a proxy may repeat; None where nobody could tell."""
        last = self.service.log[-1] if self.service.log else None
        # A gateway says no request id in it: only whoever has that generation in the journal knows whose it is.
        # Nor whose one of another program is, which names none.
        if last is None or not last.request_id or (self.gateway and self.place_of[last.generation_id] != self.place):
            return None
        # Nor does it, later, by an id that a person named: a gateway may have ids of its own there.
        attempts = self.journal_of(self.place).attempts.get(self.name_of(last), ())
        if last.request_id in OWN_IDS and all(attempt.generation_id != last.generation_id for attempt in attempts):
            return None
        echo = {} if self.gateway else {"x-client-request-id": last.request_id}
        return answer(201, {"id": last.generation_id, "status": "queued"}, **echo)

    def stand_still(self) -> None:
        """Let time pass everywhere but on this machine."""
        _, seconds = self.stops_at or (None, 0.0)
        self.stops_at = None
        self.now += seconds
        self.stood_still += seconds
        self.wall_offset -= seconds

    def start_machine(self, uptime: float) -> None:
        """Go on with a machine that was started so many seconds ago: this one, or another to which all was copied."""
        self.stood_still = self.now - uptime

    def wall(self) -> float:
        """Return what this machine's clock says."""
        return self.service.now() + self.wall_offset

    # Processes -----------------------------------------------------------------------------------------------------

    def run_file(
        self,
        jobs: dict[str, str],
        *,
        agreed: bool,
        limit: float | None,
        file: str,
        own_ids: bool,
        chained: bool,
        name: str = "",
        anyway: bool = False,
        **how: Any,
    ) -> None:
        """Run a job file into the folder: `aimlvideo run`."""
        path = self.folder.parent / file
        lines = self.jobs(jobs, own_ids=own_ids, chained=chained)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        options = RunOptions(
            output=self.folder,
            max_spend=limit,
            retry_failed=how.pop("retry_failed"),
            confirm_above=0.0,
            name=name,
            anyway=anyway,
        )
        room = inf if anyway else max(self.service.remaining(), 0.0)

        def command(settings: dict[str, Any], terminal: Terminal) -> int:
            return run_jobs(str(path), settings, options, terminal, JobFileOptions(), sandbox=False)

        before = set[str]() if agreed else self.job_ids()
        self.process(
            command, dict(jobs) if agreed else {}, dict.fromkeys(jobs, limit), agreed=agreed, has_file=True, **how
        )
        bought = (row for row in self.service.log if row.generation_id in self.bought_now)
        if (cost := sum(row.price for row in bought if not self.service.has_failed(row))) > room + CENT:
            raise BrokenPromise(f"{cost:.2f} USD were bought with {room:.2f} USD left")
        # Nobody was asked where all was bought before, and only the log has it.
        planned = self.planned({Stage.PLANNED}).keys() - before
        if not agreed and planned:
            raise BrokenPromise(f"jobs {sorted(planned)} stay planned after a no")

    def _settings(self, key: str) -> dict[str, Any]:
        is_elsewhere = key == OTHER_PLACE
        return {
            "service": self.service_name, "api_key": ("key-1" if is_elsewhere else key) + self.secret,
            "base_url": f"http://127.0.0.1:{2 if is_elsewhere else 1}", "max_outstanding": 2,
            "poll": "every:15", "rate": 1000.0, "settle": 600.0, "timeout": self.patience,
        }  # fmt: skip

    def client(self, **settings: Any) -> FakeClient:
        """Return a client of the service, which lists under one base URL nothing that was bought under another."""
        key = settings["api_key"].split(":")[0] if settings["base_url"].endswith(":1") else OTHER_PLACE
        return FakeClient(self.service, **settings, transport=FakeTransport(self.service, key))

    @property
    def service_name(self) -> str:
        """The name of the service, as the command takes it."""
        gateway = "kling-official" if self.gateway in KLING_ITSELF else "kling"
        name = gateway if self.gateway else "aimlapi"
        return OTHER_SERVICES[name] if self.other_service else name

    @property
    def secret(self) -> str:
        """The second part of a key, at Kling itself."""
        return ":secret" if self.service_name == "kling-official" and self.gateway != IN_PATH else ""

    def resume(self, *, limit: float | None, **how: Any) -> None:
        """Carry on with all that the folder has: `aimlvideo resume`."""
        if "" not in self.journals:
            return
        agreed = how["agreed"]
        options = RunOptions(
            output=self.folder,
            max_spend=limit,
            retry_failed=how.pop("retry_failed"),
            confirm_above=0.0,
        )

        def command(settings: dict[str, Any], terminal: Terminal) -> int:
            RunFolder(self.folder).service(self.service_name)
            return carry_on(settings, options, terminal)

        planned = self.planned() if agreed else {}
        self.process(command, planned, dict.fromkeys(planned, limit), **how)

    def read_some(
        self,
        jobs: dict[str, str],
        take: int,
        *,
        limit: float | None,
        most: int,
        calls: Sequence[str] = (),
        **how: Any,
    ) -> None:
        """Run jobs from Python; the reader takes some results, waits, and leaves. A gateway may call back meanwhile."""
        taken = 0
        called = {"callback_url": "http://127.0.0.1:3"} if calls else {}

        async def work(settings: dict[str, Any]) -> int:
            nonlocal taken
            async with (
                self.client(**settings | called | {"max_outstanding": most}) as client,
                client.run(lines, output=self.folder, max_spend=limit) as results,
                self._called_back(client, calls),
            ):
                async for _ in results:
                    taken += 1
                    if taken > take:
                        break
                await anyio.sleep(200)
            return 3

        lines = self.jobs(jobs, own_ids=False, chained=False)
        before = list(self.service.log)
        limits = dict.fromkeys(jobs, limit)
        self.process(lambda settings, _: asyncio.run(work(settings)), dict(jobs), limits, **how)
        bought = [row for row in self.service.log[len(before) :] if not self.service.has_failed(row)]
        if len(bought) > taken + most:
            raise BrokenPromise(f"{len(bought)} were bought, {taken} taken, at most {most} wanted")

    @asynccontextmanager
    async def _called_back(self, client: FakeClient, calls: Sequence[str]) -> AsyncIterator[None]:
        """Let a gateway call for each of its tasks, again and again; some calls name a task of another job."""

        async def call() -> None:
            for kind in calls:
                await anyio.sleep(9)
                for number, row in enumerate(self.service.log):
                    named = self.service.log[number - 1] if kind == "mixed up" else row
                    task = {"task_id": named.generation_id, "external_task_id": row.request_id}
                    client.callback({**task, "task_status": "processing" if kind == "unfinished" else "succeed"})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            yield
            tasks.cancel_scope.cancel()

    def generate(self, prompt: str, file: str, *, again: bool, limit: float | None = None, **how: Any) -> None:
        """Make one clip: `aimlvideo generate`, with the same words into the same file as before, or with others."""
        path, job = self.folder.parent / file, self.words(prompt)
        clip = ClipInputs(job.model, prompt, () if self.gateway else (job.params["image_url"],))
        record = self.journal_of(file).records.get(prompt)
        stage = Stage.PLANNED if record is None else record.progress.stage
        # Of a saved clip whose file is gone nothing is bought: it is fetched again.
        may_be_new = stage in (Stage.PLANNED, Stage.FAILED)
        may_buy = again or (not path.exists() if may_be_new else stage is not Stage.SAVED)

        def command(settings: dict[str, Any], terminal: Terminal) -> int:
            return make_one(clip, path, settings, terminal, sandbox=False, again=again, max_spend=limit)

        if how["harm"] is not None:
            how["harm"] = how["harm"][0], "delete"
        self.process(command, {prompt: prompt} if may_buy else {}, {prompt: limit}, place=file, **how)

    def generate_from_python(self, name: str, prompt: str, **how: Any) -> None:
        """Make one clip with an id into the folder from Python: the same call again is never paid twice."""

        async def work(settings: dict[str, Any]) -> int:
            (line,) = self.jobs({name: prompt}, own_ids=False, chained=False)
            async with self.client(**settings) as client:
                await client.generate(**line, output=self.folder)
            return 3

        self.process(lambda settings, _: asyncio.run(work(settings)), {name: prompt}, {name: None}, **how)

    def let_an_agent_buy(self, jobs: dict[str, str], *, limit: float, stays: float, **how: Any) -> None:
        """Let an agent buy clips within a limit, without a person: the tools of `aimlvideo mcp`."""
        lines = self.jobs(jobs, own_ids=False, chained=False)

        async def work(settings: dict[str, Any]) -> int:
            async with (
                self.client(**settings | {"max_outstanding": 20}) as client,
                AgentTools.open(client, self.folder, limit) as tools,
            ):
                for line in lines:
                    params = {name: value for name, value in line.items() if name not in ("id", "model")}
                    with suppress(VideoError):
                        await tools.submit(line["model"], params, line["id"])
                await anyio.sleep(stays)
            return 3

        # It carries on with what an earlier process has begun: that may be sent again where it surely was not accepted.
        allowed = jobs | self.planned(OUTSTANDING)
        limits: dict[str, float | None] = dict.fromkeys(allowed, limit)
        self.process(lambda settings, _: asyncio.run(work(settings)), allowed, limits, **how)

    def run_two(self, runs: Sequence[tuple[dict[str, str], float | None]], *, intruder: bool, **how: Any) -> None:
        """Run two lists of jobs side by side from Python; an `intruder` is another process that tries the folder."""
        (first, _), (second, _) = runs
        allowed = {**second, **first}
        limits: dict[str, float | None] = {}
        for jobs, limit in runs:
            for name in jobs:
                known = limits.get(name, 0.0)
                limits[name] = None if limit is None or known is None else max(limit, known)

        async def run(client: FakeClient, jobs: dict[str, str], limit: float | None) -> None:
            same = {name: prompt for name, prompt in jobs.items() if allowed[name] == prompt}
            lines = self.jobs(same, own_ids=False, chained=False)
            with suppress(VideoError):
                async with client.run(lines, output=self.folder, max_spend=limit) as results:
                    async for _ in results:
                        pass

        async def intrude(settings: dict[str, Any]) -> None:
            await anyio.sleep(1)
            async with self.client(**settings) as client:
                await run(client, first, None)

        async def work(settings: dict[str, Any]) -> int:
            async with self.client(**settings) as client, anyio.create_task_group() as tasks:
                for jobs, limit in runs:
                    tasks.start_soon(run, client, jobs, limit)
                if intruder:
                    tasks.start_soon(intrude, settings)
            return 3

        intruder = intruder and how.get("harm") is None  # another folder of the same name is another purchase
        if intruder:  # it may begin when the others have ended already
            limits |= dict.fromkeys(first)
        self.process(lambda settings, _: asyncio.run(work(settings)), allowed, limits, **how)

    def process(
        self,
        command: Callable[[dict[str, Any], Terminal], int],
        allowed: dict[str, str],
        limits: dict[str, float | None],
        *,
        key: str,
        faults: Sequence[str],
        then: str | None,
        kill_at: int | None,
        interrupt_at: float | None,
        agreed: bool = True,
        clock_step: tuple[float, float] | None = None,
        harm: tuple[float, str] | None = None,
        stops_at: tuple[int | None, float] | None = None,
        has_file: bool = False,
        place: str = "",
    ) -> None:
        """Run a process to its end, or until it is killed, and see what is true then."""
        self.allowed, self.limits, self.place = allowed, limits, place
        self.posts_before = len(self.service.posted_at)
        self.bought_now.clear()
        self.lost_journal_at = None
        self.reads_prices = has_file or None not in limits.values()
        self.deadly, self.boundaries, self.dead, self.stops_at = kill_at, 0, False, stops_at
        self.set_faults(faults, then)
        self.runs += 1
        settings = self._settings(key)
        code: int | None = None
        events: list[tuple[float, Callable[[], object]]] = []
        if clock_step is not None:
            events.append((clock_step[0], lambda: setattr(self, "wall_offset", clock_step[1])))
        if harm is not None and kill_at is None:  # who is killed as well, before it was written back, has lost it
            events.append((harm[0], lambda: self._harm(harm[1])))
        with self._inside(agreed, interrupt_at, events):
            try:
                code = command(settings, Terminal(quiet=True))
            except UsageError as error:
                code = 2
                if isinstance(error, JournalError) and "is damaged" in str(error):
                    raise BrokenPromise(str(error)) from error
            except (VideoError, KeyboardInterrupt, asyncio.CancelledError):
                code = 3
            except Killed:
                pass
            except BaseExceptionGroup as group:
                if group.split(Killed)[1] is not None:
                    raise
        self._undo_harm()
        if self.broken is not None:
            raise self.broken
        self.endings["killed" if code is None else f"exit {code}"] += 1
        self.check_all(code, allowed)

    def _harm(self, harm: str) -> None:
        """Delete the journal, or rename the folder, while a run goes on."""
        journal = self.folder.parent / f".{self.place}.journal" if self.place else self.folder / "journal.sqlite3"
        if self.dead or not journal.exists():
            return
        self.is_harmed = self.is_harmed or not self.place
        self.lost_journal_at = self.now
        if harm == "rename":
            self.folder.rename(self.moved)
        else:
            for file in journal.parent.glob(f"{journal.name}*"):
                file.unlink()

    @property
    def moved(self) -> Path:
        """Where the folder is after it was renamed."""
        return self.folder.with_name("moved")

    def _undo_harm(self) -> None:
        if self.moved.is_dir():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.moved.rename(self.folder)

    @contextmanager
    def _inside(
        self, agreed: bool, interrupt_at: float | None, events: Sequence[tuple[float, Callable[[], object]]]
    ) -> Iterator[None]:
        def run(work: Any) -> Any:
            async def main() -> Any:
                task = asyncio.current_task()
                assert task is not None
                loop = asyncio.get_running_loop()
                loop.call_later(interrupt_at or STUCK, task.cancel)
                for after, happens in events:
                    loop.call_later(after, happens)
                return await work

            with asyncio.Runner(loop_factory=lambda: WorldLoop(self)) as runner:
                return runner.run(main())

        def around(effect: Callable[..., Any]) -> Callable[..., Any]:
            def met(*args: Any, **how: Any) -> Any:
                self.boundary()
                result = effect(*args, **how)
                self.boundary()
                return result

            return met

        seconds = self.download_seconds

        class Download(FakeDownload):
            rename = staticmethod(around(Path.replace))

            async def fetch(self) -> Clip:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(seconds)
                return await super().fetch()

        with (
            patch.object(asyncio, "run", run),
            patch.object(clock, "wall", self.wall),
            patch.object(anyio.to_thread, "run_sync", at_once),
            patch.object(sqlite_file, "sync", lambda _: None),
            patch.object(sqlite_transactions, "sync", lambda _: None),
            patch.object(sqlite_file, "RESERVE", 0),
            patch.object(GroupCommit, "write", around(GroupCommit.write)),
            patch.object(GroupCommit, "commit", around(GroupCommit.commit)),
            patch.object(download, "Download", Download),
            patch.object(video, "frame_png", lambda *_: FRAME),
            patch.object(session, "VideoClient", self.client),
            patch.object(session, "_leave_page", lambda *_, **__: None),
            patch.object(Terminal, "confirm", lambda *_: agreed),
            patch.object(Terminal, "problem", lambda *_: None),
            patch.object(recover, "VideoClient", self.client),
            patch.object(reconciliation, "VideoClient", self.client),
        ):
            yield

    def journal_of(self, place: str = "") -> Journal:
        """Return what the journal of the folder has, or that beside a file."""
        return self.journals.get(place, Journal())

    def job_ids(self) -> set[str]:
        """Return the ids of all jobs that the folder has."""
        return set(self.journal_of().records)

    # What must hold ------------------------------------------------------------------------------------------------

    def planned(self, stages: Collection[Stage] = frozenset(Stage)) -> dict[str, str]:
        """Return what the jobs of the folder ask for that are not saved; those in these stages."""
        records = ((name, *record) for name, record in self.journal_of().records.items())
        unsaved = ((name, job, progress.stage) for name, job, progress in records if "prompt" in job.params)
        stages = set(stages) - {Stage.SAVED}
        return {name: str(job.params["prompt"]) for name, job, stage in unsaved if stage in stages}

    def check_all(self, code: int | None, asked: dict[str, str]) -> None:
        """Raise BrokenPromise where this process has left anything other than it promised."""
        if self.is_older and not self.bought_now:
            return
        if (posts := len(self.service.posted_at) - self.posts_before) > MOST_POSTS:
            raise BrokenPromise(f"{posts} submissions were sent by one process")
        path = self.folder.parent / f".{self.place}.journal" if self.place else self.folder / "journal.sqlite3"
        journal = Journal.of(path, self.names)
        if journal is not None:
            self.journals[self.place] = journal
        else:
            self.journals.pop(self.place, None)
        if self.place:
            self.check_file(code, self.place, asked)
        else:
            self.check(code, asked)

    def check_file(self, code: int | None, place: str, asked: dict[str, str]) -> None:
        """Raise BrokenPromise where a clip that was bought for a file is neither there nor in the journal beside it."""
        self.steps += 1
        path = self.folder.parent / place
        clip = path.read_text() if path.exists() else ""
        bought = [row for row in self.service.log if self.place_of[row.generation_id] == place]
        there = {row.generation_id for row in bought if f"/{row.generation_id}.mp4" in clip}
        if code == 0 and not there & {row.generation_id for row in bought if self.name_of(row) in asked}:
            raise BrokenPromise(f"the command said that {place} is saved, and it is not what was asked for")
        # Also where the process was killed a moment later: whoever sees the file may ask for another one.
        self.delivered |= there
        request_ids = {attempt.request_id for tried in self.journal_of(place).attempts.values() for attempt in tried}
        for row in bought:
            is_there = row.generation_id in self.delivered
            if not is_there and row.request_id not in request_ids and not self.service.has_no_clip(row):
                raise BrokenPromise(f"{row.request_id} was bought for {place}, and nothing knows of it")

    def check(self, code: int | None, asked: dict[str, str]) -> None:
        """Raise BrokenPromise where the journal, the files and the service do not agree."""
        self.steps += 1
        if "" not in self.journals:
            if "" in self.place_of.values() and not self.is_lost:
                raise BrokenPromise("clips were bought, and there is no journal")
            return
        records, attempts, _ = self.journal_of()
        for row in self.service.log:
            if self.place_of[row.generation_id]:
                continue
            name = self.name_of(row)
            if row.generation_id in self.recovered:
                self._check_recovered(row, name, attempts.get(name, ()))
            else:
                self._check_purchase(row, name, records[name].progress.stage, attempts.get(name, ()))
        if code is not None:
            self._check_saved(records, asked if code == 0 else ())
        if code == 0:
            unsaved = [name for name in asked if records[name].progress.stage is not Stage.SAVED]
            if unsaved:
                raise BrokenPromise(f"the run said that all is saved, and {unsaved} are not")

    def _check_purchase(self, row: LoggedRequest, name: str, stage: Stage, attempts: Sequence[Attempt]) -> None:
        """Raise BrokenPromise where a generation is neither in the journal nor named in doubt."""
        if row.request_id not in {attempt.request_id for attempt in attempts}:
            raise BrokenPromise(f"the journal does not know that {row.request_id} was sent for job {name}")
        known = row.generation_id in {attempt.generation_id for attempt in attempts}
        doubted = stage in (Stage.SUBMITTING, Stage.IN_DOUBT)
        if not known and not doubted and not self.service.has_failed(row):
            raise BrokenPromise(f"{row.generation_id} was bought for job {name}, which is {stage}: nobody knows it")

    def _check_recovered(self, row: LoggedRequest, name: str, attempts: Sequence[Attempt]) -> None:
        """Raise BrokenPromise where a generation is not in the rebuilt journal."""
        known = {attempt.generation_id for attempt in attempts} | self.journal_of().recovered | self.named
        is_known = row.generation_id in known
        if not is_known and not self.service.has_no_clip(row):
            raise BrokenPromise(f"{row.generation_id} was bought for job {name}, and the rebuilt journal lacks it")

    def _check_saved(self, records: Mapping[str, Record], asked: Collection[str]) -> None:
        """Raise BrokenPromise where a saved job has no file with its own clip, or no line among the results.

        What a person has removed is there again after a run that was `asked` for it and ended well.
        """
        lines = self._result_lines()
        for name, (_, progress) in records.items():
            if progress.stage is not Stage.SAVED:
                continue
            clip = self.folder / (progress.file or "")
            is_there = clip.is_file()
            self.removed -= {clip.name} if is_there else set()
            if not is_there and not self.is_harmed and (clip.name not in self.removed or name in asked):
                raise BrokenPromise(f"job {name} is saved, and its file is not there")
            # One that was saved while its folder had another name is gone, and what has its name may be an earlier one.
            if is_there and not self.is_harmed and f"/{progress.generation_id}.mp4" not in clip.read_text():
                raise BrokenPromise(f"{clip.name} is not the clip of job {name}")
            if lines.get(name) != "saved" and not (self.has_no_results and name not in asked):
                raise BrokenPromise(f"job {name} is saved, and results.jsonl says {lines.get(name)}")

    def _result_lines(self) -> dict[str, str]:
        path = self.folder / "results.jsonl"
        self.has_no_results = self.has_no_results and not path.exists()
        rows = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
        return {self.names.get(row["id"], row["id"]): row["stage"] for row in rows}
