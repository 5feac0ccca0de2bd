"""AI/ML API: a hundred and more models behind one key, with a request log, a ledger and published prices."""

from __future__ import annotations

from aimlvideo.core.media_types import MediaLimits
from aimlvideo.core.services.base import Service
from aimlvideo.core.wires.aimlapi import BASE_URL_TAILS, AimlApi
from aimlvideo.core.wires.aimlapi_account import BALANCE, KEY, LEDGER, LOG
from aimlvideo.core.wires.aimlapi_models import DEPRECATIONS, DURATIONS, MODELS, PRICES

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
    lookup=LOG,
    balance=BALANCE,
    ledgers=(LEDGER,),
    key=KEY,
    prices=PRICES,
    durations=DURATIONS,
    deprecations=DEPRECATIONS,
    models=MODELS,
)
