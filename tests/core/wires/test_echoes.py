"""What an answer quotes of a prompt is left out, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimlvideo.core.wires.echoes import without_echoes
from aimlvideo.core.wires.http import Answer
from tests.cases import for_each

PROMPT = 'A car at full throttle, and "the driver" has run out of money'
QUOTED = {"prompt": "…", "n": 5}


@for_each(
    ("body", "shown"),
    [
        ({"message": f"too long: '{PROMPT}'"}, {"message": "too long: '…'"}),
        ({"message": f"too long: {PROMPT[:30]}..."}, {"message": "too long: …..."}),
        (
            {"detail": [{"msg": "no", "input": {"prompt": PROMPT, "n": 5}}]},
            {"detail": [{"msg": "no", "input": QUOTED}]},
        ),
        ({"message": f"{PROMPT} and {PROMPT}"}, {"message": "… and …"}),
        ({"message": "a car was too fast", "id": "5"}, {"message": "a car was too fast", "id": "5"}),
        ([PROMPT, None, 1.5], ["…", None, 1.5]),
    ],
)
def test_a_quoted_prompt_is_left_out_wherever_it_stands(body: Any, shown: Any) -> None:
    assert without_echoes(Answer.of(body, 400), {"model": "m", "prompt": PROMPT}).json() == shown


def test_a_page_that_is_no_json_loses_all_that_was_sent_too() -> None:
    sent = {"prompt": PROMPT, "negative_prompt": "slow motion"}
    read = without_echoes(Answer(400, {}, f"<p>{PROMPT}</p> not 'slow motion'".encode()), sent)
    assert read.body.decode() == "<p>…</p> not '…'"


@for_each("sent", ["kling-v1", "std", "https://example.com/a.png", "short a", "A" * 30_000, "a b " * 9000])
def test_names_links_and_files_are_no_quotations(sent: str) -> None:
    read = Answer.of({"message": f"not accepted: {sent[:100]}"}, 400)
    assert without_echoes(read, {"image_list": [{"image": sent}]}) is read


@pytest.mark.parametrize(
    "sent", [{"multi_prompt": [{"prompt": "slow down now"}]}, {"input": {"text": "猫在频繁地跳舞和唱歌"}}]
)
def test_texts_inside_of_parameters_count_too(sent: dict[str, Any]) -> None:
    text = json.dumps(sent, ensure_ascii=False)
    assert "…" in without_echoes(Answer.of({"message": f"bad: {text}"}, 400), sent).json()["message"]


def test_a_large_answer_full_of_beginnings_takes_no_time() -> None:
    prompt = "waves " * 400 + "!"
    text = "waves " * 200_000
    assert len(without_echoes(Answer.of({"message": text}, 400), {"prompt": prompt}).json()["message"]) < 1000
