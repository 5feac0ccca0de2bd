"""Run a script with a client that asks sooner than is polite: `python tests/fast_polling.py SCRIPT ...`."""

from __future__ import annotations

import runpy
import sys

from aimlvideo.core.polling import policy as polling

if __name__ == "__main__":
    polling.SMALLEST_GAP = polling.LARGEST_GAP_AT_FIRST = 0.2
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
