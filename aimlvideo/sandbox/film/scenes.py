"""Which scene a text asks for, as a film shows it and as a sample picture to make videos from."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import blake2b
from io import BytesIO

import numpy as np
from numpy.random import Generator

from aimlvideo.sandbox.film.figures import ballerina, portrait
from aimlvideo.sandbox.film.landscapes import city, dunes, forest, harbour, mountains, planet
from aimlvideo.sandbox.film.paint import Layers

Scene = Callable[[tuple[int, int], Generator], Layers]

_WORDS: tuple[tuple[str, Scene], ...] = (
    ("ballerina ballet dancer dance dancing stage", ballerina),
    ("portrait face woman man girl boy person people actor model chef astronaut", portrait),
    ("space planet saturn mars galaxy moon stars starship orbit cosmos", planet),
    ("city night neon street skyline tokyo rain urban tower car", city),
    ("harbour harbor sea ocean boat ship port lake beach water waves coast fisherman sailing", harbour),
    ("dunes dune desert sand sahara camel canyon", dunes),
    ("forest wood woods tree trees jungle garden fox deer leaves", forest),
    ("mountain mountains snow alps hill valley eagle peak winter", mountains),
)
_OTHERWISE: tuple[Scene, ...] = (mountains, dunes, harbour, forest, city, planet)


def draw_scene(text: str, size: tuple[int, int]) -> Layers:
    """Return the scene that a text asks for, the same for the same text; any scene where it asks for none we know."""
    seed = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())
    return _scene_of(text, seed)(size, np.random.default_rng(seed))


def _scene_of(text: str, seed: int) -> Scene:
    said = re.findall(r"[a-z]+", text.lower())
    known = {word: scene for words, scene in _WORDS for word in words.split()}
    return next((known[word] for word in said if word in known), _OTHERWISE[seed % len(_OTHERWISE)])


SAMPLES = ("ballerina", "portrait", "dunes", "harbour", "forest", "city night", "mountains", "planet")
"""Names that are worth asking for; any other text gives a picture too."""


def sample_picture(name: str, size: tuple[int, int] = (768, 512)) -> bytes:
    """Return a PNG of what the name says, the same for the same name; `size` is width and height in pixels."""
    file = BytesIO()
    draw_scene(name, size).flat().save(file, "PNG", compress_level=1)
    return file.getvalue()
