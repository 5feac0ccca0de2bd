"""One picture of a whole run: a frame of every clip with its name, for a person or a program that looks at pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

from aimlvideo.core.jobs.progress import Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import DiskFailed, SettingsError, UsageError
from aimlvideo.shell.files.private_files import replacing
from aimlvideo.shell.files.video import frame_jpeg, needs_video

SHEET = "sheet.jpg"
WIDEST = 4096
"""Pixels: what viewers and models that look at pictures take."""
MOST_BYTES = 5_000_000
CELL = (320, 180)
"""Pixels of a frame at most; many clips get smaller ones."""
LABEL = 18
"""Pixels of the line under a frame."""


def write_sheet(folder: Path, records: Sequence[Record]) -> Path:
    """Write a sheet of all saved clips of a folder, in the order given; return its path.

    Raises SettingsError without the extra `video`, UsageError where no clip is saved, DiskFailed.
    """
    needs_video("a sheet of frames")
    clips = [
        (job.id if not number else f"{job.id} {number + 1}", folder / name)
        for job, progress in records
        if progress.stage is Stage.SAVED and progress.file is not None
        for number, name in enumerate([clip.file for clip in progress.files] or [progress.file])
    ]
    if not clips:
        raise UsageError(f"{folder} has no saved clip to show")
    path = folder / SHEET
    try:
        with replacing(path) as part:  # a viewer may have the old sheet open
            part.write_bytes(_sheet(clips))
    except OSError as error:
        raise DiskFailed(f"{path} cannot be written: {error.strerror}") from error
    return path


def _sheet(clips: Sequence[tuple[str, Path]]) -> bytes:
    try:
        from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("a sheet of frames needs the extra `video`: pip install 'aimlvideo[video]'") from None
    columns = ceil(sqrt(len(clips)))
    width = min(CELL[0], WIDEST // columns)
    height = width * CELL[1] // CELL[0]
    rows = ceil(len(clips) / columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + LABEL)), (24, 24, 27))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for number, (job_id, clip) in enumerate(clips):
        name = _drawable(job_id, number)
        left, top = number % columns * width, number // columns * (height + LABEL)
        if content := frame_jpeg(clip, width):
            frame = Image.open(io.BytesIO(content))
            frame.thumbnail((width, height))
            sheet.paste(frame, (left + (width - frame.width) // 2, top + (height - frame.height) // 2))
        while name and draw.textlength(name, font) > width - 6:
            name = f"{name[:-2]}…" if len(name) > 2 else ""
        draw.text((left + 3, top + height + 2), name, fill=(228, 228, 231), font=font)
    for quality in (85, 70, 55, 40):
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= MOST_BYTES:
            break
    return buffer.getvalue()


def _drawable(name: str, number: int) -> str:
    """Return a name in letters that the font has; one in another script stands there by its place on the sheet."""
    letters = "".join(letter for letter in name if letter.isprintable() and ord(letter) < 0x180)
    return name if letters == name else f"no. {number + 1} {letters}".rstrip()
