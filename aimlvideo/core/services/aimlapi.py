"""AI/ML API: a hundred and more models behind one key, with a request log, a ledger and published prices."""

from __future__ import annotations

from aimlvideo.core.media_types import MediaLimits
from aimlvideo.core.services.base import Ledger, ModelList, Question, RequestLog, Service
from aimlvideo.core.wires.aimlapi import BASE_URL_TAILS, UNIVERSAL, AimlApi
from aimlvideo.core.wires.aimlapi_account import (
    BALANCE_FIELDS,
    BALANCE_REQUEST,
    KEY_FIELDS,
    KEY_REQUEST,
    LEDGER_FIELDS,
    LOG_FIELDS,
    LOG_RATE,
    LONGEST_WINDOW,
    ledger_request,
    log_has_more,
    log_request,
    read_balance,
    read_key,
    read_ledger_page,
    read_log_page,
)
from aimlvideo.core.wires.aimlapi_models import (
    DEPRECATIONS_FIELDS,
    DEPRECATIONS_REQUEST,
    METRICS_FIELDS,
    METRICS_REQUEST,
    PRICES_FIELDS,
    PRICES_REQUEST,
    models_request,
    read_deprecations,
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
    base_url_tails=BASE_URL_TAILS,
    key_variables=(("AIMLAPI_API_KEY",), ("AIML_API_KEY",)),
    key_url="https://aimlapi.com/app/keys",
    media=MediaLimits(data_uri=True),
    lookup=RequestLog(log_request, read_log_page, log_has_more, LOG_RATE, LONGEST_WINDOW, LOG_FIELDS),
    balance=Question(BALANCE_REQUEST, read_balance, BALANCE_FIELDS),
    ledger=Ledger(ledger_request, read_ledger_page, LEDGER_FIELDS),
    prices=Question(PRICES_REQUEST, lambda answer: read_prices(answer.json()), PRICES_FIELDS),
    durations=Question(METRICS_REQUEST, lambda answer: read_metrics(answer.json()), METRICS_FIELDS),
    deprecations=Question(DEPRECATIONS_REQUEST, read_deprecations, DEPRECATIONS_FIELDS),
    key=Question(KEY_REQUEST, read_key, KEY_FIELDS),
    models=ModelList(models_request, read_models, UNIVERSAL),
)
