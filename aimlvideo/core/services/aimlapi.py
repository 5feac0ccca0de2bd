"""AI/ML API: a hundred and more models behind one key, with a request log, a ledger and published prices."""

from __future__ import annotations

from aimlvideo.core.media_types import MediaLimits
from aimlvideo.core.services.base import Ledger, ModelList, Question, RequestLog, Service
from aimlvideo.core.wires.aimlapi import UNIVERSAL, AimlApi
from aimlvideo.core.wires.aimlapi_account import (
    BALANCE_REQUEST,
    LOG_RATE,
    LONGEST_WINDOW,
    ledger_request,
    log_has_more,
    log_request,
    read_balance,
    read_ledger_page,
    read_log_page,
)
from aimlvideo.core.wires.aimlapi_models import (
    METRICS_REQUEST,
    PRICES_REQUEST,
    models_request,
    read_metrics,
    read_models,
    read_prices,
)

SERVICE = Service(
    name="aimlapi",
    title="AI/ML API",
    wire=AimlApi,
    base_url="https://api.aimlapi.com",
    base_url_variable="AIMLAPI_BASE_URL",
    key_variables=(("AIMLAPI_API_KEY",), ("AIML_API_KEY",)),
    key_url="https://aimlapi.com/app/keys",
    media=MediaLimits(data_uri=True),
    lookup=RequestLog(log_request, read_log_page, log_has_more, LOG_RATE, LONGEST_WINDOW),
    balance=Question(BALANCE_REQUEST, read_balance),
    ledger=Ledger(ledger_request, read_ledger_page),
    prices=Question(PRICES_REQUEST, lambda answer: read_prices(answer.json())),
    durations=Question(METRICS_REQUEST, lambda answer: read_metrics(answer.json())),
    models=ModelList(models_request, read_models, UNIVERSAL),
)
