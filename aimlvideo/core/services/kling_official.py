"""The official Kling API: gateways' endpoints at the source, a pair of keys, and packs of units instead of dollars."""

from __future__ import annotations

from dataclasses import replace

from aimlvideo.core.services import kling
from aimlvideo.core.services.base import Helper, LookupById, TaskList, TimedQuestion
from aimlvideo.core.wires.kling import read_external_task, read_helper, read_list, takes_external_id
from aimlvideo.core.wires.kling_official import (
    PACKS_FIELDS,
    KlingOfficial,
    external_task_request_here,
    helper_request_here,
    list_request_here,
    packs_request,
    read_packs,
    signed,
)

SERVICE = replace(
    kling.SERVICE,
    name="kling-official",
    title="the Kling API",
    wire=KlingOfficial,
    base_url="https://api-singapore.klingai.com",
    base_url_variable="KLING_BASE_URL",
    key_variables=(("KLING_ACCESS_KEY", "KLING_SECRET_KEY"),),
    key_url="https://app.klingai.com/global/dev",
    authorize=signed,
    lookup=LookupById(
        external_task_request_here,
        read_external_task,
        200 / 60,
        takes_external_id,
        TaskList(list_request_here, read_list),
    ),
    helper=Helper(helper_request_here, read_helper),
    packs=TimedQuestion(packs_request, read_packs, PACKS_FIELDS),
)
