"""`aimlvideo enqueue`: a job file for the workers."""

from __future__ import annotations

from math import inf
from typing import Annotated

import typer

from aimlvideo.cli.distributed_extra import distributed_extra
from aimlvideo.cli.options import (
    Anyway,
    ApiKey,
    BaseUrl,
    DefaultModel,
    Dsn,
    DsnFile,
    JobFile,
    Legacy,
    Matrix,
    Quiet,
    RetryFailed,
    Service,
    SetParams,
    Strict,
    Upload,
    client_options,
    dsn_of,
    exit_codes,
    has_service_settings,
    job_defaults,
)
from aimlvideo.cli.service_facts import ServiceFacts, ask_without_a_run
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app
from aimlvideo.core.services import DEFAULT_SERVICE

app = command_app()


@app.command(epilog="Example: aimlvideo enqueue jobs.jsonl --dsn postgresql://...")
def enqueue(
    jobs: JobFile,
    model: DefaultModel = "",
    set_: SetParams = None,
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    service: Service = DEFAULT_SERVICE,
    strict: Strict = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    matrix: Matrix = False,
    confirm_above: Annotated[float | None, typer.Option(help="USD: on a terminal, ask before more is queued.")] = None,
    retry_failed: RetryFailed = False,
    legacy: Legacy = False,
    anyway: Anyway = False,
    upload: Upload = None,
    quiet: Quiet = False,
) -> None:
    """Queue every job of a file for the workers, and say what the new ones will cost.

    The same command again adds what is new. The price list is read where there is a key or a base URL, or where
    --confirm-above is given.
    """
    terminal = Terminal(quiet=quiet)
    with exit_codes(terminal):
        with distributed_extra():
            # Here, not above: `aimlvideo --help` has to work without the extra.
            from aimlvideo.cli.worker_actions import queue_file
        reader_options = {"service": service, "strict": strict, "matrix": matrix, "legacy": legacy}
        settings = client_options(service, base_url, api_key, legacy=legacy)
        priced = confirm_above is not None or has_service_settings(settings)
        facts = ask_without_a_run(settings) if priced else ServiceFacts()
        code = queue_file(
            jobs,
            dsn_of(dsn, dsn_file, terminal),
            reader_options,
            terminal,
            retry_failed=retry_failed,
            defaults=job_defaults(model, set_),
            upload=upload,
            facts=facts,
            settings=settings if priced else None,
            anyway=anyway,
            confirm_above=inf if confirm_above is None else confirm_above,
        )
        raise typer.Exit(code)
