"""Everything that one service is stands in one place, is found by its name, and is named nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from multidict import CIMultiDict

import aimlvideo
from aimlvideo.core.catalog.catalog import Catalog, load_catalog
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.services import (
    API_KEY_HELP,
    BASE_URL_HELP,
    DEFAULT_SERVICE,
    SERVICE_HELP,
    SERVICE_NAMES,
    _loaded,
    service_of,
)
from aimlvideo.core.wires.http import Request
from aimlvideo.errors import SettingsError
from aimlvideo.settings import resolve_key
from aimlvideo.shell.http.transport import HttpTransport
from tests.cases import for_each

PACKAGE = Path(aimlvideo.__file__).parent
MAY_NAME_A_SERVICE = {"wires", "services", "sandbox", "codegen", "models", "testing"}
MODEL_IDS = {"cli/commands/demo.py", "core/catalog/corrections.py", "core/catalog/developers.py"}
"""Modules that hold ids of models, and with them the names of developers."""


def modules() -> Iterator[Path]:
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        if not MAY_NAME_A_SERVICE & set(inside.parts) and inside.as_posix() not in MODEL_IDS:
            yield path


@cache
def texts(path: Path) -> tuple[str, ...]:
    """Return the texts and names of a module, without its docstrings."""
    return tuple(_texts(path))


def _texts(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


@cache
def source(path: Path) -> str:
    """Return what is written in a module, texts that follow each other joined."""
    return re.sub(r"""['"]\s*[rf]?['"]""", "", path.read_text("utf-8"))


def offenders(pattern: re.Pattern[str]) -> list[str]:
    # To parse a module takes a hundred times as long as to see that the pattern occurs nowhere in it.
    suspicious = (path for path in modules() if pattern.search(source(path)))
    return [f"{path}: {text}" for path in suspicious for text in texts(path) if pattern.search(text)]


def test_no_other_module_names_a_service() -> None:
    assert offenders(re.compile(r"kling|aiml(?!video)", re.IGNORECASE)) == []


PATHS = re.compile(r"/v[0-9]+/|/models/metrics|/kling/|image2video|text2video|/account/costs")


def test_no_other_module_knows_a_path_of_a_service() -> None:
    assert offenders(PATHS) == []


@for_each("name", SERVICE_NAMES)
def test_a_service_is_found_by_its_name_and_has_models(name: str) -> None:
    service = service_of(name)
    assert service.name == name
    assert service_of(name) is service
    assert any(name in model.services for model in load_catalog())


@for_each("name", SERVICE_NAMES)
def test_the_help_names_each_service_and_where_its_key_is_read_from(name: str) -> None:
    service = service_of(name)
    assert name in SERVICE_HELP
    assert service.base_url_variable in BASE_URL_HELP
    assert all(variable in API_KEY_HELP for names in service.key_variables for variable in names)


@for_each(
    ("name", "secrets"),
    [("aimlapi", ("ab:cd:ef",)), ("kling", ("ab:cd:ef",)), ("kling-official", ("ab:cd:ef", "ab", "cd:ef"))],
)
def test_a_key_and_each_of_its_parts_are_never_shown_also_where_a_part_has_a_colon(
    name: str, secrets: tuple[str, ...]
) -> None:
    assert service_of(name).secrets("ab:cd:ef") == secrets


@for_each(
    ("name", "hint"),
    [("aiml", "aimlapi"), ("Kling", "kling"), ("klng", "kling"), ("sora.example", ""), (None, ""), (7, "")],
)
def test_a_service_that_there_is_not_is_refused_with_the_nearest_name(name: object, hint: str) -> None:
    with pytest.raises(SettingsError, match="expected 'aimlapi'") as refused:
        service_of(name)
    assert (f"did you mean '{hint}'?" in str(refused.value)) is bool(hint)


def test_every_model_belongs_to_a_service_of_the_registry() -> None:
    assert {model.service for model in load_catalog()} <= set(SERVICE_NAMES)
    entry = {"developer": "x", "path": "/", "params": {}}
    (model,) = Catalog({"new": entry})
    assert model.service == DEFAULT_SERVICE


PAIR = replace(
    service_of("kling"),
    name="pair",
    key_variables=(("ONE", "OTHER"),),
    authorize=lambda request, key, now: {"X-Signed": f"{request.method} {key.partition(':')[0]} {now > 1e9}"},
)


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_loaded, "pair", PAIR)


@pytest.mark.parametrize(
    ("api_key", "environment", "key"),
    [("a:b", {}, "a:b"), (None, {"ONE": "a", "OTHER": " b "}, "a:b"), ("c:d", {"ONE": "a", "OTHER": "b"}, "c:d")],
)
def test_a_key_may_be_a_pair(pair: None, api_key: str | None, environment: Mapping[str, str], key: str) -> None:
    assert resolve_key(api_key, "pair", environment) == key
    assert PAIR.secrets(key) == (key, *key.split(":"))


@pytest.mark.parametrize(
    ("api_key", "environment"), [("a", {}), (":b", {}), ("a:", {}), (None, {"ONE": "a"}), (None, {"OTHER": "b"})]
)
def test_half_a_pair_is_no_key(pair: None, api_key: str | None, environment: Mapping[str, str]) -> None:
    with pytest.raises(SettingsError, match="ONE"):
        resolve_key(api_key, "pair", environment)


def test_a_service_signs_each_request_in_its_own_way() -> None:
    signed = PAIR.authorize(Request("GET", "/x"), "a:b", 2e9)
    assert signed == {"X-Signed": "GET a True"}
    plain = service_of("aimlapi").authorize(Request("GET", "/x"), "sk-1", 0.0)
    assert plain == {"Authorization": "Bearer sk-1"}


def test_no_part_of_a_key_is_shown_where_a_service_quotes_it() -> None:
    transport = HttpTransport(None, "http://127.0.0.1:1", "access-key-0123456789:secret-key-0123456789", PAIR)  # type: ignore[arg-type]
    shown = transport._answer(401, CIMultiDict(), b"bad secret-key-0123456789 of access-key-0123456789").body
    assert shown == b"bad [key] of [key]"


def test_a_gateway_s_models_keep_their_own_path() -> None:
    wire = service_of("kling").wire(legacy=False, path_of={"kling-v9": "/other/videos"}.get)
    job = VideoJob("kling-v9", prompt="x")
    assert wire.submission(job, "av-1").path == "/other/videos/text2video"
    assert [one.path for one in wire.status("t", job)] == ["/other/videos/text2video/t"]
