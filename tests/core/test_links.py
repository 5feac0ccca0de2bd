"""Links as services give them, resolved as a browser would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimlvideo.core.links import data_of_link, resolve_link, same_origin
from tests.cases import for_each
from tests.schemas.strategies import LETTERS

BASE = "https://api.example.com/proxy"
SIGNED = "https://cdn.example.com/a.mp4?Signature=a%2bB%7E+/=&Expires=1"


@for_each(
    ("link", "address"),
    [
        (SIGNED, SIGNED),
        (f"  {SIGNED}\n", SIGNED),
        (SIGNED.replace("&", "&amp;"), SIGNED),
        (SIGNED.replace("&", "\\u0026"), SIGNED),
        (f"{SIGNED}\\u0026", f"{SIGNED}\\u0026"),
        (f"{SIGNED}&note=a&amp;b", f"{SIGNED}&note=a&amp;b"),
        ("https://cdn.example.com/a\n.mp4", "https://cdn.example.com/a%0A.mp4"),
        ("https://cdn.example.com/a\\b.mp4", "https://cdn.example.com/a\\b.mp4"),
        ("//cdn.example.com/a.mp4?x=%2b", "https://cdn.example.com/a.mp4?x=%2b"),
        ("/files/a.mp4?x=%2b", "https://api.example.com/files/a.mp4?x=%2b"),
        ("files/a.mp4", "https://api.example.com/proxy/files/a.mp4"),
        ("../files/a.mp4?next=../b", "https://api.example.com/files/a.mp4?next=../b"),
        ("HTTPS://cdn.example.com/a.mp4", "https://cdn.example.com/a.mp4"),
        ("https:/cdn.example.com/a.mp4", "https://cdn.example.com/a.mp4"),
        ("https:\\\\cdn.example.com\\a.mp4", "https://cdn.example.com/a.mp4"),
        ("https://cdn.example.com", "https://cdn.example.com/"),
        ("https://cdn.example.com/my clip.mp4", "https://cdn.example.com/my%20clip.mp4"),
        ("https://cdn.example.com/t\u00e4nzer.mp4", "https://cdn.example.com/t%C3%A4nzer.mp4"),
        ("https://b\u00fccher.example/a.mp4", "https://xn--bcher-kva.example/a.mp4"),
        ("https://b\u00fccher.example:8443/a.mp4", "https://xn--bcher-kva.example:8443/a.mp4"),
        ("https://cdn.example.com/a.mp4#t=5", "https://cdn.example.com/a.mp4"),
    ],
)
def test_a_link_leads_where_a_browser_would_go(link: str, address: str) -> None:
    assert resolve_link(link, BASE) == address


@given(st.from_regex(r"https?://[a-z.0-9-]{1,9}(:[0-9]{1,6})?(/[!-~]{0,20})?", fullmatch=True, alphabet=LETTERS))
def test_a_plain_link_is_read_as_any_other_is(link: str) -> None:
    def outcome(text: str) -> str:
        try:
            return resolve_link(text, BASE)
        except ValueError as error:
            return f"refused: {error}"

    assert outcome(link) == outcome(f" {link}")  # blanks around a link are no part of it


@for_each("link", ["", "  ", "ftp://example.com/a", "blob:https://example.com/1", "https://", "https://a:b/", "https://a..b/x",
                   "https://.a/x", f"https://{'a' * 64}.example/x"])  # fmt: skip
def test_what_is_no_address_is_said_to_be_none(link: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        resolve_link(link, BASE)


def test_a_clip_may_stand_in_its_link() -> None:
    assert data_of_link("data:video/mp4;base64,AAAA") == (True, "AAAA")
    assert data_of_link(" DATA:video/mp4,abc") == (False, "abc")
    assert data_of_link(SIGNED) is None


def test_an_origin_is_scheme_host_and_port() -> None:
    assert same_origin("https://a.example/x", "https://A.example:443/y")
    for other in ("http://a.example", "https://b.example", "https://a.example:8443"):
        assert not same_origin("https://a.example/x", other)
