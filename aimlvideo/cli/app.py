"""The command and its flags (with `flags.py` and `app_workers.py` the one place that knows `typer`)."""

from __future__ import annotations

import logging
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from aimlvideo import __version__
from aimlvideo.cli import app_workers
from aimlvideo.cli.address import address, spelled_out
from aimlvideo.cli.flags import (
    ApiKey,
    BaseUrl,
    Board,
    Callback,
    CallbackSecret,
    CallbackUrl,
    DsnOrNone,
    Folder,
    FolderOrNone,
    Json,
    Legacy,
    Matrix,
    MaxOutstanding,
    MaxSpend,
    Metrics,
    Output,
    OutputOrStore,
    PollRate,
    Polls,
    Quiet,
    Rate,
    Service,
    Settle,
    Strict,
    Timeout,
    UseSandbox,
    guarded,
    settings_of,
)
from aimlvideo.cli.terminal import Terminal
from aimlvideo.errors import UsageError


class Spelled(TyperGroup):
    """Lets `--board` stand without a port."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spelled_out(args))


app = typer.Typer(
    cls=Spelled,
    help="Hosted AI video generation: thousands of clips, nothing paid twice, nothing lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(app_workers.app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    log: Annotated[str, typer.Option(help="Log to stderr from this level: debug, info, warning, error.")] = "",
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Hosted AI video generation: thousands of clips, nothing paid twice, nothing lost."""
    if log and log.upper() not in logging.getLevelNamesMapping():
        Terminal().problem(f"--log is {log!r}: expected debug, info, warning or error")
        raise typer.Exit(2)
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("aimlvideo").setLevel(log.upper() if log else logging.ERROR)


@app.command()
def demo(output: Output = Path("demo-clips"), quiet: Quiet = False) -> None:
    """Make a dozen real clips on the embedded sandbox: no key, no network, no bill."""
    from aimlvideo.cli import showcase

    terminal = Terminal(quiet=quiet)
    with guarded(terminal):
        raise typer.Exit(showcase.demo(output, terminal))


@app.command()
def run(
    jobs: Annotated[str, typer.Argument(help="A job file (.jsonl, .json, .csv), or - for standard input.")],
    output: OutputOrStore,
    service: Service = "aimlapi",
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    max_outstanding: MaxOutstanding = "20",
    rate: Rate = 5.0,
    timeout: Timeout = 1800.0,
    max_spend: MaxSpend = None,
    poll: Polls = "learned",
    poll_rate: PollRate = 50.0,
    settle: Settle = None,
    retry_failed: Annotated[bool, typer.Option(help="Try the jobs again that failed in earlier runs.")] = False,
    verify: Annotated[bool, typer.Option(help="Check saved clips by their SHA-256, not only their length.")] = False,
    strict: Strict = False,
    matrix: Matrix = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Start though the balance surely will not do.")] = False,
    confirm_above: Annotated[float | None, typer.Option(help="USD: on a terminal, ask before more is spent.")] = None,
    legacy: Legacy = False,
    callback: Callback = None,
    callback_url: CallbackUrl = None,
    callback_secret: CallbackSecret = None,
    board: Board = None,
    metrics: Metrics = None,
    sandbox: UseSandbox = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make every clip of a job file. The same command again carries on where it stopped."""
    from aimlvideo.cli.running import RunOptions, run_jobs
    from aimlvideo.shell.files.object_stores import is_remote, journal_folder

    terminal = Terminal(json=json, quiet=quiet)
    with guarded(terminal):
        settings = settings_of(
            service, base_url, api_key, max_outstanding, rate=rate, timeout=timeout, poll=poll, poll_rate=poll_rate,
            settle=settle, strict=strict, legacy=legacy, callback=_address(callback), callback_url=callback_url,
            callback_secret=callback_secret,
        )  # fmt: skip
        above, at = inf if confirm_above is None else confirm_above, address(board)
        options = RunOptions(
            journal_folder(output), service, strict, retry_failed, verify, max_spend, matrix, anyway, above, at,
            metrics, store=output if is_remote(output) else None,
        )  # fmt: skip
        raise typer.Exit(run_jobs(jobs, settings, options, terminal, sandbox=sandbox))


@app.command()
def generate(
    model: Annotated[str, typer.Argument(help="A model: see `aimlvideo models`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The clip's file.")],
    prompt: Annotated[str | None, typer.Option("-p", "--prompt")] = None,
    image: Annotated[list[str] | None, typer.Option("-i", "--image", help="A picture: path or link; repeat.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter; repeat.")] = None,
    service: Service = "aimlapi",
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    strict: Strict = False,
    legacy: Legacy = False,
    sandbox: UseSandbox = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make one clip."""
    from aimlvideo.cli.single import generate_one

    terminal = Terminal(json=json, quiet=quiet)
    with guarded(terminal):
        settings = settings_of(
            service, base_url, api_key, "1", timeout=timeout, poll=poll, strict=strict, legacy=legacy
        )
        asked = {"prompt": prompt, "images": image or [], "set": set_ or []}
        raise typer.Exit(generate_one(model, asked, output, settings, terminal, sandbox=sandbox))


@app.command()
def check(
    jobs: Annotated[str, typer.Argument(help="A job file (.jsonl, .json, .csv), or - for standard input.")],
    service: Service = "aimlapi",
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    max_outstanding: MaxOutstanding = "20",
    rate: Rate = 5.0,
    strict: Strict = False,
    matrix: Matrix = False,
) -> None:
    """Validate and price a job file; nothing is sent that costs anything."""
    from aimlvideo.cli.catalog import check_file

    terminal = Terminal()
    with guarded(terminal):
        settings = settings_of(service, base_url, api_key, max_outstanding, rate=rate)
        raise typer.Exit(check_file(jobs, settings, terminal, strict=strict, matrix=matrix))


@app.command()
def models(
    word: Annotated[str, typer.Argument(help="A word to look for, or a model.")] = "",
    image: Annotated[bool, typer.Option("--image", help="Those that take a picture.")] = False,
    audio: Annotated[bool, typer.Option("--audio", help="Those with sound.")] = False,
    max_price: Annotated[float | None, typer.Option(help="USD: those whose plainest clip costs no more.")] = None,
    prices: Annotated[bool, typer.Option("--prices", help="Ask the service for prices and durations.")] = False,
    example: Annotated[bool, typer.Option("--example", help="Print a line for a job file.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read the live catalogue and keep it.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what the service changed since this release.")] = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show what there is, and what one model accepts."""
    from aimlvideo.cli import catalog

    terminal = Terminal()
    with guarded(terminal):
        settings = settings_of("aimlapi", base_url, api_key, "1")
        if refresh:
            catalog.refresh_models(settings, terminal)
        if refresh or diff:
            raise typer.Exit(catalog.show_changes(terminal))
        wanted = {"image": image, "audio": audio, "max_price": max_price, "prices": prices, "example": example}
        raise typer.Exit(catalog.show_models(word, wanted, settings, terminal))


@app.command()
def status(
    folder: FolderOrNone = None,
    dsn: DsnOrNone = None,
) -> None:
    """Say where a run stands, from its journal alone; also while it is going on."""
    from aimlvideo.cli.running import where_it_stands

    terminal = Terminal()
    with guarded(terminal):
        _one_of(folder, dsn)
        if folder is None:
            raise typer.Exit(app_workers.commands().where_they_stand(dsn, terminal))
        where_it_stands(folder, terminal)


@app.command()
def report(
    folder: Folder,
    dsn: Annotated[str | None, typer.Option(help="The database of many workers; the page goes to the folder.")] = None,
) -> None:
    """Write report.html: a page with every clip, its price and its times, and the failures with what to do."""
    from aimlvideo.cli.pages import report as write

    terminal = Terminal()
    with guarded(terminal):
        if dsn is not None:
            raise typer.Exit(app_workers.commands().report(folder, dsn, terminal))
        raise typer.Exit(write(folder, terminal))


@app.command()
def balance(service: Service = "aimlapi", base_url: BaseUrl = None, api_key: ApiKey = None) -> None:
    """Say what the account has left."""
    from aimlvideo.cli.account import balance as say_balance

    terminal = Terminal()
    with guarded(terminal):
        raise typer.Exit(say_balance(settings_of(service, base_url, api_key, "1"), terminal))


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 takes a free one.")] = 8765,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A knob of its behaviour; repeat.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same run.")] = 0,
    seconds: Annotated[str, typer.Option(help="Processing time: 2, lognormal:127,0.35, uniform:1,9 ...")] = "2",
    time_scale: Annotated[float, typer.Option(help="Processing times are multiplied by it.")] = 1.0,
) -> None:
    """Serve the embedded sandbox, for other programs' tests."""
    from aimlvideo.cli import showcase

    terminal = Terminal()
    with guarded(terminal):
        told = {"seed": seed, "seconds": seconds, "time_scale": time_scale}
        raise typer.Exit(showcase.serve(port, told, set_ or [], terminal))


def _one_of(folder: Path | None, dsn: str | None) -> None:
    if (folder is None) == (dsn is None):
        raise UsageError("say either a folder or --dsn")


def _address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"--callback is {text!r}: expected HOST:PORT")
    return host, int(port)


@app.command()
def reconcile(
    folder: FolderOrNone = None, dsn: DsnOrNone = None, base_url: BaseUrl = None, api_key: ApiKey = None
) -> None:
    """Say what a run really cost by the service's ledger, and what does not match."""
    from aimlvideo.cli.account import reconcile_run

    terminal = Terminal()
    with guarded(terminal):
        _one_of(folder, dsn)
        settings = settings_of("aimlapi", base_url, api_key, "1")
        if folder is None:
            raise typer.Exit(app_workers.commands().reconcile(dsn, settings, terminal))
        raise typer.Exit(reconcile_run(folder, settings, terminal))


@app.command()
def resolve(
    words: Annotated[list[str], typer.Argument(metavar="[FOLDER] JOB", help="The folder, and the job in doubt.")],
    generation: Annotated[str | None, typer.Option(help="The generation that it has become.")] = None,
    not_accepted: Annotated[bool, typer.Option("--not-accepted", help="The service never took it.")] = False,
    dsn: DsnOrNone = None,
) -> None:
    """Settle by hand a job whose answer was lost, after a look at the service's dashboard."""
    from aimlvideo.cli.mending import resolve as settle_by_hand

    terminal = Terminal()
    with guarded(terminal):
        if bool(generation) == not_accepted:
            raise UsageError("say either --generation ID or --not-accepted")
        *folders, job = words
        if len(folders) != (dsn is None):
            raise UsageError("say FOLDER JOB, or JOB --dsn ...")
        if dsn is not None:
            raise typer.Exit(app_workers.commands().resolve(job, generation, dsn, terminal))
        raise typer.Exit(settle_by_hand(Path(folders[0]), job, generation, terminal))


@app.command()
def adopt(
    folder: Folder,
    generations: Annotated[list[str], typer.Argument(help="Generation ids from elsewhere.")],
    model: Annotated[str, typer.Option(help="Their model, where it is known.")] = "",
    service: Service = "aimlapi",
) -> None:
    """Take generations from elsewhere into a folder; `aimlvideo wait -o FOLDER` fetches them."""
    from aimlvideo.cli.mending import adopt as take_in

    terminal = Terminal()
    with guarded(terminal):
        raise typer.Exit(take_in(folder, generations, model, service, terminal))


@app.command()
def wait(
    output: Output,
    generations: Annotated[list[str] | None, typer.Argument(help="Generation ids, from anywhere.")] = None,
    service: Service = "aimlapi",
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Wait for generations by their ids, and save their clips; without ids, carry on with all that the folder has."""
    from aimlvideo.cli.mending import adopt as take_in
    from aimlvideo.cli.running import RunOptions, carry_on

    terminal = Terminal(json=json, quiet=quiet)
    with guarded(terminal):
        settings = settings_of(service, base_url, api_key, "20", timeout=timeout, poll=poll)
        if generations:
            take_in(output, generations, "", service, Terminal(quiet=True))
        raise typer.Exit(carry_on(settings, RunOptions(output, service), terminal))


@app.command()
def recover(folder: Folder, service: Service = "aimlapi", base_url: BaseUrl = None, api_key: ApiKey = None) -> None:
    """Make a lost journal again from results.jsonl and the service's log."""
    from aimlvideo.cli.mending import recover as make_again

    terminal = Terminal()
    with guarded(terminal):
        raise typer.Exit(make_again(folder, settings_of(service, base_url, api_key, "1"), terminal))
