"""The environment's proxies are those that curl would take, or a refusal that says what to set."""

from __future__ import annotations

import pytest

from aimlvideo.errors import SettingsError
from aimlvideo.shell.http.proxies import Proxies
from tests.cases import for_each

API = "https://api.example.com/v2"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@for_each(
    ("name", "value", "proxy"),
    [
        ("HTTPS_PROXY", "http://proxy:3128", "proxy:3128"),
        ("https_proxy", "proxy:3128", "proxy:3128"),
        ("ALL_PROXY", "proxy:3128", "proxy:3128"),
        ("all_proxy", " http://user:word@proxy:3128 ", "proxy:3128"),
        ("https_proxy", "[::1]:3128", "::1:3128"),
        ("https_proxy", "", ""),
        ("http_proxy", "proxy:3128", ""),
    ],
)
def test_a_proxy_is_found_under_every_name_and_spelling(name: str, value: str, proxy: str) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(name, value)
        assert Proxies.of_environment().passed_by(API) == proxy


@for_each(
    ("no_proxy", "url", "is_direct"),
    [
        ("api.example.com", API, True),
        ("other.com, example.com", API, True),
        (".example.com", API, True),
        ("*.example.com", API, True),
        ("other.com, *.example.com", API, True),
        ("ample.com", API, False),
        ("*.ample.com", API, False),
        ("api.example.com:443", API, True),
        ("api.example.com:8443", API, False),
        ("api.example.com:8443", "https://api.example.com:8443/", True),
        ("10.0.0.0/8", "https://10.1.2.3/", True),
        ("10.1.2.99/24", "https://10.1.2.3/", True),
        ("10.0.0.0/8", "https://11.1.2.3/", False),
        ("10.0.0.0/8,x/y,fe80::/300", API, False),
        ("[::1]", "https://[::1]/", True),
        ("::1", "https://[::1]:8443/", True),
        ("fd00::/8", "https://[fd00::2]/", True),
        ("*", API, True),
    ],
)
def test_what_no_proxy_names_is_asked_directly(no_proxy: str, url: str, is_direct: bool) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HTTPS_PROXY", "http://proxy:3128")
        environment.setenv("NO_PROXY", no_proxy)
        assert Proxies.of_environment().passed_by(url) == ("" if is_direct else "proxy:3128")


@pytest.mark.parametrize("value", ["socks5://proxy:1080", "SOCKS5H://user:word@proxy:1080", "socks4a://proxy:1"])
def test_a_socks_proxy_is_refused_with_what_to_set_and_without_its_password(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(SettingsError, match=r"only http proxies can be used\. Set HTTPS_PROXY=") as refused:
        Proxies.of_environment().passed_by(API)
    assert "socks" in str(refused.value)
    assert "word" not in str(refused.value)
