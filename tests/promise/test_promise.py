"""A few histories of the model; `python -m tests.promise --histories N` runs as many as one likes, `.ci/run` beside."""

from __future__ import annotations

from hypothesis import settings

from tests.promise.machine import Promise

TestPromise = Promise.TestCase
TestPromise.settings = settings(max_examples=settings.default.max_examples // 4, stateful_step_count=15)
