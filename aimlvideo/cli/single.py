"""One clip from the command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aimlvideo.cli.running import client_of, in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.catalog import Model, load_catalog
from aimlvideo.errors import GenerationFailed, Rejected, UsageError

LISTS = ("image_list", "image_urls", "reference_image_urls", "images", "reference_images")
SINGLES = ("image_url", "image", "first_frame_image", "first_frame_url", "image_urls")
LASTS = ("tail_image_url", "last_image_url", "last_frame_image", "end_image_url")


def generate_one(
    model: str, asked: Mapping[str, Any], output: Path, settings: dict[str, Any], terminal: Terminal, *, sandbox: bool
) -> int:
    """Make one clip and save it as `output`; return the exit code."""
    params = _params(model, asked, gateway=settings["service"] == "kling")
    if not output.parent.is_dir():
        raise UsageError(f"the folder of {output} is not there")

    async def work() -> None:
        async with client_of(settings, sandbox=sandbox) as client:
            result = await client.generate(model, **params)
            await result.save(output)
            terminal.result(result)
            cost = "cost unknown" if result.cost_usd is None else f"{result.cost_usd:.2f} USD"
            terminal.say(f"saved {output} ({cost}, generation {result.generation_id})")

    try:
        in_loop(work())
    except KeyboardInterrupt:
        terminal.say("interrupted: a generation under way goes on at the service")
        return 3
    except (GenerationFailed, Rejected) as error:
        terminal.problem(str(error))
        return 1
    return 0


def _params(name: str, asked: Mapping[str, Any], *, gateway: bool) -> dict[str, Any]:
    """Return a job's parameters from what was given; pictures go where this model takes them."""
    catalog = load_catalog()
    model = catalog.find(name) or (catalog.find_gateway(name) if gateway else None)
    params = dict(_assigned(text) for text in asked["set"])
    if asked["prompt"] is not None:
        params["prompt"] = asked["prompt"]
    return _placed(model, asked["images"]) | params


def _placed(model: Model | None, images: Sequence[str]) -> dict[str, Any]:
    if not images:
        return {}
    known = model.params if model else {}
    many = next((name for name in LISTS if name in known), None)
    one = next((name for name in SINGLES if name in known and name != many), None)
    last = next((name for name in LASTS if name in known), None)
    if one and (len(images) == 1 or not many):
        if len(images) > 2 or (len(images) == 2 and not last):
            raise UsageError(f"{model.id if model else 'this model'} takes {2 if last else 1} picture(s)")
        return {one: images[0]} | ({str(last): images[1]} if len(images) == 2 else {})
    if many:
        return {many: list(images)}
    raise UsageError(f"{model.id if model else 'this model'} takes no pictures: see `aimlvideo models`")


def _assigned(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--set {text!r}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
