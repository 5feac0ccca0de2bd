"""Some histories of the model in each CI run; `python -m tests.promise --histories N` runs as many as one likes."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.promise.machine import Promise

TestPromise = Promise.TestCase
TestPromise.settings = settings(
    max_examples=45, stateful_step_count=15, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
