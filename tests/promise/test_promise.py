"""Some histories of the model in each CI run; `python -m tests.promise --histories N` runs as many as one likes."""

from __future__ import annotations

from hypothesis import settings

from tests.promise.machine import Promise

TestPromise = Promise.TestCase
TestPromise.settings = settings(max_examples=settings.default.max_examples, stateful_step_count=15)
