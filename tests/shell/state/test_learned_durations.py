"""What was learned lasts: one small file, several writers, and no harm from a damaged one."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.core.polling.policy import LearnedPolls
from aimlvideo.shell.state.learned_durations import LearnedDurations
from aimlvideo.shell.user_folders import NOWHERE


def teach(policy: LearnedPolls, generations: int, seconds: float = 100.0) -> None:
    for _ in range(generations):
        policy.observe(0.0, seconds, False)
        policy.observe(seconds, seconds + 10, True)


def learned(path, generations: int = 20, key: str = "m duration=5", seconds: float = 100.0) -> LearnedDurations:
    knowledge = LearnedDurations.load(path)
    teach(knowledge.policy(key), generations, seconds)
    return knowledge


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "knowledge.json"


def test_the_same_key_gives_the_same_policy(path):
    knowledge = LearnedDurations.load(path)
    assert knowledge.policy("m") is knowledge.policy("m")
    assert knowledge.policy("m") is not knowledge.policy("n")


def test_what_was_learned_is_there_in_the_next_run(path):
    learned(path).save()
    again = LearnedDurations.load(path)
    assert again.keys() == ["m duration=5"]
    assert again.policy("m duration=5").quantile(0.5) == pytest.approx(105, rel=0.1)
    assert again.policy("m duration=5").next_poll(0.0) > 60


def test_a_new_model_begins_with_what_is_told(path):
    knowledge = LearnedDurations.load(path)
    assert knowledge.policy("a", documented=60.0).quantile(0.5) == pytest.approx(60, rel=0.25)
    assert knowledge.policy("b", published={0.5: 200.0, 0.9: 260.0}).quantile(0.5) == pytest.approx(200, rel=0.2)


def test_loading_and_learning_write_nothing(path):
    learned(path)
    assert not path.parent.exists()


def test_two_writers_lose_nothing_of_each_other(path):
    one, two = learned(path), learned(path)
    teach(two.policy("other"), 10)
    one.save()
    two.save()
    again = LearnedDurations.load(path)
    assert again.policy("m duration=5").endings > 30
    assert again.policy("other").endings == pytest.approx(10, rel=0.1)
    one.save()
    assert LearnedDurations.load(path).policy("m duration=5").endings == pytest.approx(
        again.policy("m duration=5").endings, rel=1e-3
    )


def test_saving_again_counts_nothing_twice(path):
    knowledge = learned(path)
    knowledge.save()
    first = path.read_text()
    knowledge.save()
    assert json.loads(path.read_text())["models"] == json.loads(first)["models"]


@pytest.mark.real_time
def test_many_writers_at_the_same_moment_leave_a_whole_file(path):
    writers = [threading.Thread(target=learned(path, 2, f"m{i}").save) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(20)
    assert LearnedDurations.load(path).keys() == [f"m{i}" for i in range(8)]
    assert [entry.name for entry in path.parent.iterdir()] == ["knowledge.json"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 99, "written": 0, "models": {}}', '{"version": 1, "written": 0}',
     '{"version": 1, "written": 0, "models": {"m": {"events": {"5": -1}, "exposure": {}}}}',
     '{"version": 1, "written": 0, "models": {"m": 3}}', '{"version": 1, "written": "x", "models": {}}', "\x00\xff"],
)  # fmt: skip
def test_a_damaged_file_is_warned_of_and_replaced(path, content, caplog):
    path.parent.mkdir()
    path.write_text(content, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        knowledge = learned(path)
    assert "damaged" in caplog.text
    knowledge.save()
    caplog.clear()
    assert LearnedDurations.load(path).policy("m duration=5").endings > 10
    assert caplog.text == ""


def test_knowledge_fades_with_time(path):
    learned(path).save()
    fresh = LearnedDurations.load(path).policy("m duration=5").endings
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"written": kept["written"] - 60 * 86400}))
    assert LearnedDurations.load(path).policy("m duration=5").endings == pytest.approx(fresh / 4, rel=0.01)


def test_a_folder_that_cannot_be_written_is_a_warning_and_no_error(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    knowledge = learned(tmp_path / "file" / "knowledge.json")
    knowledge.save()
    assert "could not be saved" in caplog.text
    assert knowledge.policy("m duration=5").endings > 10


@pytest.mark.real_time
def test_a_lock_left_behind_by_one_that_died_does_not_stop_the_others(path, monkeypatch):
    path.parent.mkdir()
    lock = path.with_suffix(".lock")
    lock.touch()
    os.utime(lock, (time.time() - 60, time.time() - 60))
    naps = []
    monkeypatch.setattr(time, "sleep", naps.append)
    learned(path).save()
    assert len(naps) <= 1
    assert LearnedDurations.load(path).keys() == ["m duration=5"]
    assert not lock.exists()


def test_a_model_takes_a_few_kilobytes(path):
    knowledge = LearnedDurations.load(path)
    for seconds in range(10, 400, 3):
        teach(knowledge.policy("m"), 1, float(seconds))
    knowledge.save()
    assert path.stat().st_size < 4096


def test_by_default_it_lies_in_the_users_state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    knowledge = LearnedDurations.load()
    assert knowledge.path.name == "knowledge.json"
    assert "aimlvideo" in str(knowledge.path)


def test_what_is_learned_for_nobody_else_is_written_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("a file was written")

    monkeypatch.setattr(os, "replace", refused)
    knowledge = LearnedDurations(NOWHERE, {})
    knowledge.policy("m")
    knowledge.save()


def test_a_device_is_never_replaced_by_what_was_learned(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    LearnedDurations(pipe, {}).save()
    assert list(tmp_path.iterdir()) == [pipe]
    assert pipe.is_fifo()
