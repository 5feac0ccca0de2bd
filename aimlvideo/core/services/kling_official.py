"""The official Kling API: gateways' endpoints at the source, a pair of keys or one, and packs of units for dollars."""

from __future__ import annotations

from dataclasses import replace

from aimlvideo.core.services import kling
from aimlvideo.core.wires.kling_account import LEDGERS, PACKS
from aimlvideo.core.wires.kling_official import HELPER, LOOKUP, NAME, KlingItself, signed_headers

SERVICE = replace(
    kling.SERVICE,
    name=NAME,
    title="the Kling API",
    wire=KlingItself,
    base_url="https://api-singapore.klingai.com",
    base_url_variable="KLING_BASE_URL",
    key_variables=(("KLING_ACCESS_KEY", "KLING_SECRET_KEY"), ("KLING_API_KEY",), ("KLINGAI_API_KEY",)),
    key_url="https://app.klingai.com/global/dev",
    authorize=signed_headers,
    lookup=LOOKUP,
    helper=HELPER,
    packs=PACKS,
    ledgers=LEDGERS,
)
