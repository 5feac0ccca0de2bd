"""Fuzz the readers of foreign bytes with atheris, by hand: an hour each shows what the suite's short tests cannot.

atheris 3 is needed, beside what the tests need: `pip install atheris` (Linux, Python 3.11 to 3.13).

    python -m tests.fuzz all --minutes 90 --folder /tmp/fuzz     one reader after the other, then a table
    python -m tests.fuzz kling --minutes 60 --folder /tmp/fuzz   one reader
    python -m tests.fuzz kling /tmp/fuzz/kling/found/crash-1     one input once more

What is found lies in FOLDER/READER/found. Mend it, make the input small (`-minimize_crash=1`), and put it into
tests/fuzz/corpus/READER: the suite reads that folder. All other words go to libFuzzer as they are.
"""

from __future__ import annotations

import argparse
import logging
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import seeds

LIMITS = ("-rss_limit_mb=2048", "-timeout=20", "-max_len=20000")
_RUNS = re.compile(r"Done (\d+) runs|^#(\d+)\s", re.MULTILINE)
NAMES = (
    *(
        "aimlapi",
        "kling",
        "kling-official",
        "account",
        "webhook",
        "headers",
        "link",
        "document",
        "jsonl",
        "json",
        "csv",
    ),
    *("prompts", "xlsx", "sheet", "picture", "clip", "journal", "journal-file", "results", "durations", "catalog"),
)


def main() -> None:
    """Do what the words say."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reader", metavar="READER", choices=(*NAMES, "all"), help=f"all, or one of {', '.join(NAMES)}")
    parser.add_argument("--minutes", type=float, help="how long, in all; without it, READER runs in this process")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/fuzz"), help="for inputs and finds (/tmp/fuzz)")
    words, rest = parser.parse_known_args()
    if words.minutes is None and words.reader != "all":
        _fuzz(words.reader, rest)
        return
    names = NAMES if words.reader == "all" else (words.reader,)
    print(f"{'reader':15} {'inputs':>12} {'minutes':>8}  finds", flush=True)
    for name in names:
        _fuzz_for(name, (words.minutes or 60.0) * 60 / len(names), words.folder / name, rest)


def _fuzz_for(name: str, seconds: float, folder: Path, rest: list[str]) -> None:
    """Fuzz one reader in a process of its own, again after each find, and say what came of it."""
    inputs, finds = folder / "inputs", folder / "found"
    for place in (inputs, finds):
        place.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (inputs / f"seed-{number}").write_bytes(seed)
    began, count = time.monotonic(), 0
    while (remaining := seconds - (time.monotonic() - began)) > 1:
        log = folder / "log"
        command = [sys.executable, "-m", "tests.fuzz", name, str(inputs), *LIMITS, f"-artifact_prefix={finds}/"]
        with log.open("wb") as output:
            subprocess.run(
                [*command, f"-max_total_time={remaining:.0f}", *rest], stderr=output, stdout=output, check=False
            )
        text = log.read_text(errors="replace")
        numbers = [int(first or second) for first, second in _RUNS.findall(text)]
        count += max(numbers, default=0)
        if not numbers or "Done " in text:
            break
        (finds / f"log-{time.time_ns()}").write_bytes(log.read_bytes()[-20_000:])
    found = [path.name for path in finds.iterdir() if not path.name.startswith("log-")]
    minutes = (time.monotonic() - began) / 60
    print(f"{name:15} {count:12,} {minutes:8.1f}  {len(found)} {' '.join(sorted(found))[:200]}", flush=True)


def _fuzz(name: str, words: list[str]) -> None:
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris, or without it run pytest tests/fuzz")
    # Only what is looked at: to instrument all libraries takes minutes.
    with atheris.instrument_imports(include=["aimlvideo", "ijson", "mutagen"]):
        from tests.fuzz.readers import READERS
    logging.disable()

    def changed(data: bytes, most: int, seed: int) -> bytes:
        return mutated(data, most, seed, atheris.Mutate)

    atheris.Setup([sys.argv[0], *words], READERS[name], custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
