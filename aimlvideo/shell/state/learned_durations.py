"""What was learned about durations, kept between runs in one small file that several programs may share."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from aimlvideo.core.polling.hazard import AgeHistogram
from aimlvideo.core.polling.policy import LearnedPolls
from aimlvideo.shell.files.private_files import is_special
from aimlvideo.shell.user_folders import NOWHERE, state_folder

VERSION = 1
HALF_LIFE = 30 * 86400.0  # seconds in which knowledge loses half its weight
FORGOTTEN = 0.01  # generations: a model known by less is dropped from the file
LOCK_WAIT = 1.0  # seconds to wait for another writer
LOCK_STALE = 10.0  # seconds after which a lock was left behind by one that died

log = logging.getLogger(__name__)


class LearnedDurations:
    """The poll policies of all models, by `knowledge_key`. Touches the disk in `load` and `save` and nowhere else."""

    def __init__(self, path: Path, states: Mapping[str, Mapping[str, Any]]) -> None:
        self.path = path
        self._states = dict(states)
        self._policies: dict[str, LearnedPolls] = {}

    @classmethod
    def load(cls, path: str | Path | None = None) -> Self:
        """Return what the file at `path` holds (by default in the user's state folder); nothing if it is damaged."""
        place = Path(path) if path is not None else state_folder() / "knowledge.json"
        return cls(place, _read(place))

    def keys(self) -> list[str]:
        """Return the keys under which something is known, in order."""
        return sorted({*self._states, *self._policies})

    def policy(
        self,
        key: str,
        *,
        published: Mapping[float, float] | None = None,
        documented: float | None = None,
    ) -> LearnedPolls:
        """Return the one policy of this key: it goes on from what is kept, or begins with what is told here."""
        if key not in self._policies:
            self._policies[key] = LearnedPolls.from_state(
                self._states.get(key, AgeHistogram().to_state()),
                published=published,
                documented=documented,
            )
        return self._policies[key]

    def save(self) -> None:
        """Write down what was learned since, joined with what others have written meanwhile. Never raises OSError."""
        if NOWHERE in (self.path, self.path.parent) or (self.path.exists() and not self.path.is_file()):
            # /dev/null stands for "keep nothing": it must never be replaced by a file.
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _best_effort_lock(self.path.with_suffix(".lock")):
                states = {**self._states, **_read(self.path)}
                for key, policy in self._policies.items():
                    states[key] = policy.latency.merged_state(states.get(key))
                _write(self.path, states)
        except OSError as error:
            _say_unsaved(self.path, error.strerror or str(error))
            return
        self._states = states
        for key, policy in self._policies.items():
            policy.latency.restart_from(states[key])


@lru_cache(maxsize=16)  # said once, however many clients end
def _say_unsaved(path: Path, reason: str) -> None:
    log.warning("learned durations could not be saved in %s: %s", path, reason)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the state of each key, faded by its age; an empty dict for a file that is missing or damaged."""
    if is_special(path):
        return {}
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        if written["version"] != VERSION:
            raise ValueError(f"version {written['version']!r} where {VERSION} was expected")
        # Never above 1: a clock that was set back would make old knowledge weigh more than all that is new.
        share = 0.5 ** (max(time.time() - float(written["written"]), 0.0) / HALF_LIFE)
        return {key: AgeHistogram.from_state(state).times(share).to_state() for key, state in written["models"].items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        log.warning("the file of learned durations is damaged, starting over: %s: %r", path, error)
        return {}


def _write(path: Path, states: Mapping[str, Mapping[str, Any]]) -> None:
    models = {key: state for key, state in sorted(states.items()) if sum(state["events"].values()) >= FORGOTTEN}
    # A draft of its own for each process: two that end together replace the whole file, one after the other, and never
    # mix.
    draft = path.with_suffix(f".{os.getpid()}.part")
    draft.write_text(json.dumps({"version": VERSION, "written": round(time.time()), "models": models}), "utf-8")
    os.replace(draft, path)


@contextmanager
def _best_effort_lock(lock: Path) -> Iterator[None]:
    """Hold the lock file; after a second of waiting go on without it: to lose a few figures beats to hang."""
    give_up = time.monotonic() + LOCK_WAIT
    held = False
    while not held and time.monotonic() < give_up:
        try:
            # Creating a file is the one lock that works on every file system, network ones too.
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            held = True
        except FileExistsError:
            _drop_if_stale(lock)
            time.sleep(0.01)
    try:
        yield
    finally:
        if held:
            lock.unlink(missing_ok=True)


def _drop_if_stale(lock: Path) -> None:
    with suppress(OSError):
        if time.time() - lock.stat().st_mtime > LOCK_STALE:
            lock.unlink()
