"""A setting that cannot be right is refused before anything is sent, with what to do; no secret is ever shown."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from aimlvideo.client import VideoClient
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.polling.policy import FixedPolls
from aimlvideo.core.wires.aimlapi import UNIVERSAL
from aimlvideo.errors import SettingsError
from aimlvideo.settings import Settings, _resolve_base_url, resolve_key
from tests.cases import for_each

ENVIRONMENT = {"AIMLAPI_API_KEY": "first", "AIML_API_KEY": "second", "AIMLAPI_BASE_URL": "https://proxy.example.com/"}


@for_each(
    ("given", "environment", "key"),
    [
        ("mine", ENVIRONMENT, "mine"),
        (None, ENVIRONMENT, "first"),
        (None, {"AIML_API_KEY": "second"}, "second"),
        (None, {"AIMLAPI_API_KEY": "", "AIML_API_KEY": "second"}, "second"),
        (None, {"AIMLAPI_API_KEY": "  ", "AIML_API_KEY": "second"}, "second"),
        ("  mine\n", {}, "mine"),
    ],
)
def test_a_key_that_is_given_wins_over_the_environment(
    given: str | None, environment: dict[str, str], key: str
) -> None:
    assert resolve_key(given, "aimlapi", environment) == key


@pytest.mark.parametrize("name", ["api_key", "base_url", "journal", "knowledge"])
@pytest.mark.parametrize("empty", ["", "  \n"])
def test_an_empty_text_is_not_taken_for_a_setting_that_was_left_out(
    name: str, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMLAPI_API_KEY", "of-another-account")
    with pytest.raises(SettingsError, match=f"{name} is .*: expected"):
        VideoClient(**{name: empty})


@pytest.mark.parametrize(("service", "place"), [("aimlapi", "https://aimlapi.com/app/keys"), ("kling", "dashboard")])
def test_without_a_key_it_says_which_variable_and_where_to_get_one(service: str, place: str) -> None:
    for environment in ({}, {"AIMLAPI_API_KEY": " "}):
        with pytest.raises(SettingsError, match="AIMLAPI_API_KEY") as caught:
            resolve_key(None, service, environment)
        assert place in str(caught.value)


@for_each("key", ["Bearer abc", "ab\ncd", "abc…", "abc\0d", "schlüssel", '"abc"', "'abc'"])
def test_a_key_that_was_copied_wrong_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(SettingsError, match="characters that keys never contain") as caught:
        resolve_key(key, "aimlapi", {})
    assert key not in str(caught.value)


@for_each(
    ("given", "service", "environment", "url"),
    [
        ("https://mine.example.com/api/", "aimlapi", ENVIRONMENT, "https://mine.example.com/api"),
        (None, "aimlapi", ENVIRONMENT, "https://proxy.example.com"),
        (None, "aimlapi", {}, "https://api.aimlapi.com"),
        (None, "kling", {}, "https://api.ezmodel.cloud"),
        (None, "kling", {"AIMLAPI_BASE_URL": " "}, "https://api.ezmodel.cloud"),
        (" HTTPS://Mine.example.com \n", "aimlapi", {}, "https://mine.example.com"),
        ("http://127.0.0.1:8000", "aimlapi", {}, "http://127.0.0.1:8000"),
        ("http://localhost", "aimlapi", {}, "http://localhost"),
        ("http://[::1]:80/x", "aimlapi", {}, "http://[::1]/x"),
    ],
)
def test_a_base_url_comes_from_the_nearest_place(
    given: str | None, service: str, environment: dict[str, str], url: str
) -> None:
    assert _resolve_base_url(given, service, environment) == url


@for_each(
    ("url", "words"),
    [
        ("api.example.com", "is not a URL: expected something like https://api.example.com"),
        ("ftp://api.example.com", "is not a URL"),
        ("https://", "is not a URL"),
        ("https:///v2", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://api..example.com", "is not a URL"),
        (f"https://{'a' * 64}.example.com", "is not a URL"),
        ("https://h:0", "is not a URL"),
        ("https://h:99999", "is not a URL"),
        ("https://h:x", "is not a URL"),
        ("https://two words.com", "is not a URL"),
        ("https://exämple.com", "is not a URL"),
        ("https://api.example.com\\@evil.example.com", "is not a URL"),
        ("http://api.example.com", "would be sent unencrypted"),
        ("http://127.0.0.1.example.com", "would be sent unencrypted"),
        ("http://localhost.example.com", "would be sent unencrypted"),
        ("http://127.0.0.1@evil.example.com", "must have no user"),
        ("https://me:secret@api.example.com", "must have no user, query or fragment"),
        ("https://api.example.com/?a=1", "must have no user, query or fragment"),
        ("https://api.example.com/#x", "must have no user, query or fragment"),
        ("https://me:secret@", "is not a URL"),
        ("http://me:secret@api.example.com", "must have no user"),
    ],
)
def test_a_base_url_that_is_not_safe_for_a_key_is_refused(url: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _resolve_base_url(url, "kling", {})
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


@for_each("name", ["max_outstanding", "downloads", "rate", "poll_rate", "timeout", "settle"])
@for_each("value", [0, -1, nan, -inf, "5", True, [], 1j], ids=repr)
def test_a_number_that_is_none_or_not_above_zero_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"{name} is .*: expected a number above 0"):
        Settings(**{name: value})


def test_numbers_above_zero_are_good_and_none_means_no_limit() -> None:
    Settings(max_outstanding=None, settle=None)
    Settings(max_outstanding=1, rate=0.1, poll_rate=1e9, timeout=inf, settle=1)
    with pytest.raises(SettingsError, match="whole number"):
        Settings(max_outstanding=2.5)  # type: ignore[arg-type]


@for_each("service", ["", "AIMLAPI", "openai"])
def test_a_service_that_nobody_knows_is_refused_with_those_there_are(service: str) -> None:
    for ask in (
        lambda: Settings(service=service),
        lambda: resolve_key("k", service),
        lambda: _resolve_base_url("u", service),
    ):
        with pytest.raises(SettingsError, match="expected 'aimlapi', 'kling' or"):
            ask()


def test_the_wire_is_the_service_s() -> None:
    assert Settings(service="kling").chosen_service.name == "kling"
    assert Settings(legacy=True).chosen_service.name == "aimlapi"


def test_a_model_is_submitted_where_the_catalogue_has_it_and_one_of_another_service_where_new_ones_are() -> None:
    catalog = load_catalog()
    wire = Settings(service="aimlapi").wire(lambda: catalog)
    paths = {model: wire.submission(VideoJob(model.id), "av-1").path for model in catalog}
    assert paths == {model: model.path if model.service == "aimlapi" else UNIVERSAL for model in catalog}
    assert "/v2/generate/video/kling/generation" in paths.values()


@for_each("poll", ["", "every", "every:", "every:0", "every:-1", "every:nan", "every:inf", "15", None])
def test_a_way_of_polling_that_nobody_knows_is_refused(poll: Any) -> None:
    with pytest.raises(SettingsError, match="poll"):
        Settings(poll=poll)


def test_a_way_of_polling_is_learned_or_fixed() -> None:
    assert Settings().fixed_polls() is None
    fixed = Settings(poll="every:7.5").fixed_polls()
    assert isinstance(fixed, FixedPolls)


@for_each("secret", ["", "whsec_", "no base64!"])
def test_a_callback_secret_that_can_sign_nothing_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError, match="callback_secret") as caught:
        Settings(callback_secret=secret)
    assert not secret or secret == "whsec_" or secret not in str(caught.value)


@for_each("url", ["", "us.example.com", "ftp://us.example.com"])
def test_a_callback_url_that_nobody_can_call_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="callback_url"):
        Settings(callback_url=url)


def test_no_secret_is_in_what_settings_look_like() -> None:
    settings = Settings(api_key="sk-0123456789", callback_secret="whsec_c2VjcmV0")
    assert "sk-0123456789" not in f"{settings} {settings!r}"
    assert "whsec" not in f"{settings} {settings!r}"


@for_each(
    ("url", "named", "remembers"),
    [("https://api.example.com", None, True), ("http://127.0.0.1:1", None, False), ("http://127.0.0.1:1", "k", True)],
)
def test_what_a_service_on_this_machine_teaches_is_not_kept_unless_asked(url: str, named: Any, remembers: bool) -> None:
    assert Settings(base_url=url, knowledge=named).remembers is remembers


def test_a_key_that_is_no_text_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="api_key is of type int") as refused:
        resolve_key(123456, "aimlapi")  # type: ignore[arg-type]
    assert "123456" not in str(refused.value)


@for_each("service", ["aimlapi"])
@for_each("tail", ["", "/", "/v1", "/v2/", "/v1/"])
def test_a_base_url_may_have_the_version_that_people_copy_along(service: str, tail: str) -> None:
    for root in ("https://gateway.example.com", "https://gateway.example.com/proxy/aiml"):
        assert _resolve_base_url(root + tail, service) == root


@pytest.mark.parametrize(
    ("service", "tail"),
    [
        ("aimlapi", "/v2/video/generations"),
        ("aimlapi", "/v2/generate/video/kling/generation"),
    ],
)
def test_a_base_url_may_be_the_address_of_an_endpoint(service: str, tail: str) -> None:
    assert _resolve_base_url(f"https://gateway.example.com{tail}", service) == "https://gateway.example.com"


def test_a_prefix_of_a_gateway_s_own_is_kept() -> None:
    assert _resolve_base_url("https://gateway.example.com/video", "aimlapi") == "https://gateway.example.com/video"


@for_each("url", ["https://API.Example.com/v1", "https://api.example.com/v1/", "HTTPS://api.example.com:443/v1//"])
def test_one_place_has_one_base_url_however_it_is_spelled(url: str) -> None:
    assert _resolve_base_url(url, "kling", {}) == "https://api.example.com/v1"


def test_another_path_or_port_is_another_place() -> None:
    for url in ("https://api.example.com:8443/v1", "https://api.example.com/V1", "http://127.0.0.1:443/v1"):
        assert _resolve_base_url(url, "kling", {}) == url
