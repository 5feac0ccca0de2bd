"""Make the README's pictures anew from the demo: the page in both themes, and a recording of the terminal.

Needs Chromium, and `pip install 'aimlvideo[sandbox]' playwright pyte`. Run: `python examples/make_pictures.py`
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from html import escape
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import pyte
from playwright.sync_api import sync_playwright

PICTURES = Path(__file__).parent / "pictures"
COLUMNS, ROWS, WIDE, HIGH = 104, 9, 8.4, 19
DRAW_EVERY = 0.2
PAINT = {
    "green": "#3fbf82", "blue": "#6d9bff", "cyan": "#36bccb", "magenta": "#c084ee", "red": "#f2777b",
    "brown": "#e3aa3c", "brightblack": "#6b7280", "default": "#e6e9ef",
}  # fmt: skip
Line = tuple[tuple[str, bool, str], ...]
Frame = tuple[Line, ...]


def recorded(command: list[str]) -> list[tuple[float, Frame]]:
    """Run a command on a terminal; return what stood there, and when."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream, frames, began = pyte.ByteStream(screen), [], time.monotonic()
    ours, theirs = pty.openpty()
    size = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    with subprocess.Popen(command, env={**os.environ, **size}, stdout=theirs, stderr=theirs):
        os.close(theirs)
        with suppress(OSError):  # the terminal's other end is closed
            while some := os.read(ours, 65536):
                stream.feed(some.replace(b"\n", b"\r\n") if b"\r\n" not in some else some)
                frames.append((time.monotonic() - began, stood(screen)))
    return thinned(frames)


def stood(screen: pyte.Screen) -> Frame:
    """Return the runs of equal colour of each line."""
    lines = []
    for row in range(ROWS):
        cells = [screen.buffer[row][column] for column in range(COLUMNS)]
        runs = groupby(cells, key=lambda cell: (cell.fg, cell.bold))
        lines.append(tuple((fg, bold, "".join(cell.data for cell in run)) for (fg, bold), run in runs))
    return tuple(lines)


def thinned(frames: list[tuple[float, Frame]]) -> list[tuple[float, Frame]]:
    """Return the last frame of each fifth of a second that changed anything."""
    kept: list[tuple[float, Frame]] = []
    for moment, frame in frames:
        if kept and moment - kept[-1][0] < DRAW_EVERY:
            kept[-1] = (kept[-1][0], frame)
        elif not kept or frame != kept[-1][1]:
            kept.append((moment, frame))
    return kept


def film(frames: list[tuple[float, Frame]], title: str) -> str:
    """Return the frames as one SVG that moves by itself, again and again."""
    whole = frames[-1][0] + 4
    width, height = COLUMNS * WIDE + 32, ROWS * HIGH + 60
    steps, groups = [], []
    for number, (moment, frame) in enumerate(frames):
        until = frames[number + 1][0] if number + 1 < len(frames) else whole
        start, end = 100 * moment / whole, 100 * until / whole
        steps.append(
            f"@keyframes f{number}{{0%,{start:.3f}%{{opacity:0}}{start:.3f}%,{end:.3f}%{{opacity:1}}"
            f"{end:.3f}%,100%{{opacity:0}}}}#f{number}{{animation:f{number} {whole:.2f}s step-end infinite}}"
        )
        groups.append(f'<g id="f{number}" opacity="{int(number + 1 == len(frames))}">{"".join(drawn(frame))}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" font-size="14" '
        f'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" role="img">'
        f"<title>{escape(title)}</title><style>{''.join(steps)}</style>"
        f'<rect width="100%" height="100%" rx="12" fill="#12151b"/>'
        + "".join(f'<circle cx="{22 + 18 * n}" cy="20" r="5.5" fill="#3a404c"/>' for n in range(3))
        + f'<text x="50%" y="25" text-anchor="middle" fill="#8b93a1">{escape(title)}</text>{"".join(groups)}</svg>'
    )


def drawn(frame: Frame) -> list[str]:
    """Return the lines of a frame as SVG."""
    said = []
    for row, line in enumerate(frame):
        x = 16.0
        for colour, bold, text in line:
            if text.strip():
                weight = ' font-weight="700"' if bold else ""
                length = f' textLength="{len(text) * WIDE:.1f}" lengthAdjust="spacingAndGlyphs"'
                said.append(
                    f'<text x="{x:.1f}" y="{56 + row * HIGH}" fill="{PAINT.get(colour, PAINT["default"])}"'
                    f'{weight}{length} xml:space="preserve">{escape(text)}</text>'
                )
            x += len(text) * WIDE
    return said


def photographed(page_file: Path) -> None:
    """Take pictures of the page."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for theme in ("light", "dark"):
            page = chromium.new_page(viewport={"width": 1280, "height": 1130}, color_scheme=theme)
            page.goto(page_file.as_uri())
            page.wait_for_timeout(500)
            page.screenshot(path=PICTURES / f"page-{theme}.jpg", type="jpeg", quality=86)
            page.click("#tab-timeline")
            page.wait_for_timeout(300)
            page.screenshot(
                path=PICTURES / f"timeline-{theme}.jpg",
                type="jpeg",
                quality=86,
                clip={"x": 0, "y": 240, "width": 1280, "height": 420},
            )
        chromium.close()


def main() -> None:
    """Run the demo and make all pictures of it."""
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as place:
        os.chdir(place)
        frames = recorded([sys.executable, "-m", "aimlvideo", "demo"])
        (PICTURES / "terminal.svg").write_text(film(frames, "aimlvideo demo"), encoding="utf-8")
        photographed(Path(place) / "demo-clips" / "report.html")
    for picture in sorted(PICTURES.iterdir()):
        print(picture, f"{picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
