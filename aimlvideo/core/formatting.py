"""Numbers, times, reasons and commands as a person reads them: short, and without what is secret."""

from __future__ import annotations

import re
import reprlib
import shlex
import sys
from pathlib import PurePath
from typing import Any, Self, TypeVar

T = TypeVar("T")
QUERY = re.compile(r"(https?://[^\s?#\"'<>]+)[?#][^\s\"'<>]*")
USER_INFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@\"'<>]+@")
SECRET = re.compile(r"(?i)(bearer\s+(?=\S*\d)|api[-_]?key[\"'=:\s]+)[\w\-./+=]{8,}")
_SIGNED_UPLOAD = rb"(?i)(aimlvideo-\d{10,12}-[0-9a-f]{12}(?:\\*/|%2F)[0-9a-f]{32}\.\w{1,8})(?:\?|%3F)[^\s\"'<>]*"
"""A signed link to a file that `files.uploads` has put somewhere, from the name of its folder on."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")

_PLAIN_ON_WINDOWS = re.compile(r"[\w+=:./\\-]+")
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""Characters without a width, which are copied along from web pages and chats."""
LONGEST = 60
"""Characters of a value in a message: a picture as Base64 has millions."""
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = LONGEST - 15
_brief.maxlist = _brief.maxtuple = _brief.maxdict = 2
_brief.maxlevel = 3


class SecretText(str):
    """A key or a token, whose `repr` is a stand-in: pytest, rich and error trackers print the variables of frames."""

    __slots__ = ()

    @classmethod
    def of(cls, value: T) -> T | Self:
        """Return a text as one that no traceback shows; anything else as it is."""
        return cls(value) if isinstance(value, str) else value

    def __repr__(self) -> str:
        return "'[secret]'"


def is_blank(text: str) -> bool:
    """Tell a text in which there is nothing to see."""
    return not text.strip() or not text.strip(INVISIBLE).strip()


def printable(text: str) -> str:
    """Return a text without control characters other than tabs and line ends, and without halves of surrogate pairs."""
    return CONTROL.sub(" ", text).encode(errors="replace").decode()


def redact_for_display(text: str, longest: int = 300) -> str:
    """Return a text fit to be shown: no signed link's query, no key, no control characters, not endless."""
    shown = CONTROL.sub(" ", strip_signatures(text)).replace("\n", " ")
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def strip_signatures(text: str) -> str:
    """Return a text in which links have lost users, passwords and queries, where signatures are, and keys are gone."""
    # In a prompt of a thousand letters the patterns take longer than all the rest of a recipe: most texts have neither.
    shown = QUERY.sub(r"\1?…", without_passwords(text)) if "://" in text else text
    lowered = shown.lower()
    may_have_keys = "api" in lowered or "bearer" in lowered or not shown.isascii()
    return SECRET.sub(r"\1…", shown) if may_have_keys else shown


def without_passwords(text: str) -> str:
    """Return a text in which links have lost users and passwords: people put a whole DSN where something else goes."""
    return USER_INFO.sub(r"\1…@", text)


def without_upload_signatures(body: bytes) -> bytes:
    """Return an answer in which links to uploaded files have lost their signatures: services quote them in errors."""
    return re.sub(_SIGNED_UPLOAD, rb"\1", body) if b"aimlvideo-" in body else body


def preview(value: Any) -> str:
    """Return a value in at most `LONGEST` characters, without first writing out all of it."""
    if isinstance(value, bytes | bytearray):
        return f"{len(value):,} bytes"
    if isinstance(value, str) and value.startswith("data:"):
        return f"{value[: value.find(',', 0, 30) + 1] or 'data:'}… ({len(value):,} characters)"
    try:
        text = "a huge number" if isinstance(value, int) and abs(value) > 10**40 else _brief.repr(value)
    except ValueError:  # Python writes out no number of some thousands of digits
        text = f"a {type(value).__name__} with a huge number"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def format_seconds(amount: float) -> str:
    """Return a time span in its two largest units: `8.4 s`, `2 min 5 s`, `3 h 20 min`."""
    if amount < 10:
        return f"{amount:.1f} s"
    whole = round(amount)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(amount / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest and hours < 24 else f"{hours:,} h"


def pluralize(count: int, thing: str) -> str:
    """Return a count with its thing: `1 clip`, `1,200 clips`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def format_usd(amount: float) -> str:
    """Return an amount of US dollars: `12.40 USD`."""
    # z: what is left of nothing, where amounts were added and taken away one by one, is not "-0.00".
    return f"{amount:z,.2f} USD"


def exact_amount(dollars: float) -> str:
    """Return dollars with the digits in which prices differ: rounded to cents, what passes a limit may seem to fit."""
    cents, exact = f"{dollars:z.2f}", f"{dollars:z.4f}".rstrip("0")
    return max(cents, exact, key=len)


def format_units(amount: float) -> str:
    """Return an amount of a service's own units: `0.56`, `1,250,000`."""
    # Not ":g", which gives six digits: a pack has more.
    return f"{amount:,.4f}".rstrip("0").rstrip(".")


def format_spent(dollars: float, units: float | None) -> str:
    """Return what was charged, in US dollars and in the service's own units, where it says those."""
    if not units:
        return format_usd(dollars)
    in_units = f"{format_units(units)} of the service's units"
    return f"{format_usd(dollars)} and {in_units}" if dollars else in_units


def command_line(*words: str | PurePath, program: str = "aimlvideo") -> str:
    """Return a command, by default of this package, as a person can paste it: what a shell would split is quoted.

    A path that begins with a dash is written as one, else the command would take it for an option.
    """
    # To Windows' own shell a single quotation mark is a letter: `-o 'clips\run'` would be a new folder, and all bought
    # again.
    quoted = _quoted_for_windows if sys.platform == "win32" else shlex.quote
    return " ".join([program, *(quoted(_as_word(word)) for word in words)])


def _quoted_for_windows(word: str) -> str:
    if _PLAIN_ON_WINDOWS.fullmatch(word):
        return word
    # Backslashes before a quotation mark are doubled, as the programs that read it take them.
    return '"' + re.sub(r'(\\*)("|$)', lambda match: match[1] * 2 + match[2].replace('"', '\\"'), word) + '"'


def _as_word(word: str | PurePath) -> str:
    return f"./{word}" if isinstance(word, PurePath) and str(word).startswith("-") else str(word)
