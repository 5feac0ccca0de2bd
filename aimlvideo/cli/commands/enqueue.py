"""`aimlvideo enqueue`: a job file for the workers."""

from __future__ import annotations

import os
from math import inf
from typing import Annotated

import typer

from aimlvideo.cli.distributed_options import DatabaseOptions
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import (
    Anyway,
    ClientOptions,
    JobFileOptions,
    JobsArgument,
    Legacy,
    Quiet,
    RetryFailed,
    ServiceOptions,
    Upload,
)
from aimlvideo.cli.service_facts import NO_FACTS, ServiceFacts
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.money.budget import checked_limit
from aimlvideo.core.services import service_of
from aimlvideo.settings import check_upload

app = CommandApp()


@app.command(epilog="Example: aimlvideo enqueue jobs.jsonl --dsn postgresql://...")
def enqueue(
    jobs: JobsArgument,
    file: JobFileOptions,
    database: DatabaseOptions,
    access: ServiceOptions,
    confirm_above: Annotated[
        float, typer.Option(help="USD: on a terminal, ask before more is queued.", show_default=False)
    ] = inf,
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
    with exit_codes(quiet=quiet) as terminal:
        check_upload(upload)  # it is kept for every worker, none of which could begin
        shared_jobs = database.shared_jobs(terminal)
        # Here, not above: `aimlvideo --help` has to work without the extra.
        from aimlvideo.cli.shared_jobs import Consent

        settings = access.client_options(legacy=legacy)
        asks = checked_limit(None if confirm_above == inf else confirm_above, "--confirm-above") is not None
        priced = asks or _names_service(settings)

        def ask() -> ServiceFacts:
            return ServiceFacts.asked(settings, terminal.remark) if priced else NO_FACTS

        shared_jobs.queue(
            jobs,
            file.reader_options({**settings, "upload": upload}),
            retry_failed=retry_failed,
            defaults=file.defaults(),
            consent=Consent(ask, settings if priced else None, anyway, confirm_above),
        )


def _names_service(settings: ClientOptions) -> bool:
    """Tell whether somebody said where the service is, or with which key it is asked."""
    service = service_of(settings["service"])
    variables = (service.base_url_variable, *(name for names in service.key_variables for name in names))
    return bool(settings["base_url"] or settings["api_key"] or any(os.environ.get(name) for name in variables))
