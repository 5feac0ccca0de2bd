"""Sample pictures to make videos from, drawn on the spot."""

from __future__ import annotations

from io import BytesIO

from aimlvideo.sandbox.film.scenes import draw_scene

SAMPLES = ("ballerina", "portrait", "dunes", "harbour", "forest", "city night", "mountains", "planet")
"""Names that are worth asking for; any other text gives a picture too."""


def sample_picture(name: str, size: tuple[int, int] = (768, 512)) -> bytes:
    """Return a PNG of what the name says, the same for the same name; `size` is width and height in pixels."""
    file = BytesIO()
    draw_scene(name, size).flat().save(file, "PNG", compress_level=1)
    return file.getvalue()
