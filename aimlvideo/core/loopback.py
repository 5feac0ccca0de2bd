"""The names of this machine."""

from __future__ import annotations

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""The hosts that no request leaves this machine for, as `urlsplit` says them."""
