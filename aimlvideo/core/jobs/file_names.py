"""Which file name a finished video gets."""

from __future__ import annotations

import hashlib
import re

JOURNAL, RESULTS, REPORT = "journal.sqlite3", "results.jsonl", "report.html"
"""What a run leaves in its folder, beside the clips."""

LONGEST = 120
"""Characters of a name before its ending: every file system takes it, also with `.part` behind it."""

_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def file_name(job_id: str, ending: str = ".mp4") -> str:
    """Return a safe file name for a job: its id where that is safe, else a readable one with a hash of the id.

    A mapped name carries a hash of the id, so that two ids never share one. On a file system that takes `Scene` and
    `scene` for one name, the clip that comes second is saved beside the first, under a number.
    """
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", job_id).strip("._")[:LONGEST]
    if kept and kept == job_id and not _RESERVED.match(kept):
        return kept + ending
    digest = hashlib.sha256(job_id.encode(errors="surrogatepass")).hexdigest()[:10]
    return f"{kept or 'clip'}-{digest}{ending}"
