"""Fuzz one reader with atheris: `python -m tests.fuzz READER [CORPUS] [-max_total_time=3600]`."""

from __future__ import annotations

import sys


def main() -> None:
    """Fuzz the reader that is named first; all else goes to libFuzzer."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    with atheris.instrument_imports():
        from tests.fuzz.readers import READERS
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"name one of {', '.join(READERS)}")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], READERS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
