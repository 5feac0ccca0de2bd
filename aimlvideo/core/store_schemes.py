"""The object stores that clips and uploads may go to, by the schemes of their URLs."""

from __future__ import annotations

ATOMIC_SCHEMES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "memory"})
"""Stores whose objects appear when they are whole. With others a clip is put beside its name first, then renamed."""

STORE_EXTRAS = {
    "s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure", "adl": "azure"
}  # fmt: skip
"""Which extra of this package installs what a store needs."""

OTHER_STORES = "gs://, az://"
"""What help and messages name behind an example in `s3://`."""
