"""A job's life as a table: which stage may follow which.

planned ──► submitting ──► rendering ──► ready ──► saved
  ▲             │   │           ▲ ▲        │
  │             │   └► in doubt◄┘ │        │
  └─────────────┴───────┘  │      └────────┤  (the link died: the generation is asked for a fresh one)
                ▼          ▼               ▼
              failed ◄─────┴───────────────┘
"""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Where a job stands."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    IN_DOUBT = "in_doubt"
    RENDERING = "rendering"
    READY = "ready"
    SAVED = "saved"
    FAILED = "failed"


STAGES: dict[Stage, frozenset[Stage]] = {
    Stage.PLANNED: frozenset({Stage.SUBMITTING, Stage.FAILED}),
    Stage.SUBMITTING: frozenset({Stage.PLANNED, Stage.IN_DOUBT, Stage.RENDERING, Stage.READY, Stage.FAILED}),
    Stage.IN_DOUBT: frozenset({Stage.PLANNED, Stage.RENDERING, Stage.FAILED}),
    Stage.RENDERING: frozenset({Stage.RENDERING, Stage.READY, Stage.PLANNED, Stage.IN_DOUBT, Stage.FAILED}),
    Stage.READY: frozenset({Stage.RENDERING, Stage.READY, Stage.SAVED, Stage.FAILED}),
    Stage.SAVED: frozenset({Stage.READY}),
    Stage.FAILED: frozenset({Stage.PLANNED, Stage.RENDERING}),
}
"""Each stage with those that may follow it. `SAVED` to `READY`: the file is gone. `FAILED` onward: a person asked.

`RENDERING` to `PLANNED`: the service took it, and later said that it had no slot; nothing was rendered or billed.
`RENDERING` to `IN_DOUBT`: the answer named a generation that turned out to be another job's.
"""

ENDED = frozenset({Stage.SAVED, Stage.FAILED})
"""Stages from which nothing goes on by itself."""
OUTSTANDING = frozenset({Stage.SUBMITTING, Stage.IN_DOUBT, Stage.RENDERING})
"""Stages in which the service may be at work on a job, and a slot is held for it."""
WITHOUT_GENERATION = (Stage.PLANNED, Stage.SUBMITTING, Stage.IN_DOUBT)
"""Stages in which a job has no generation that anybody here knows of, so that it may have to be submitted still."""
