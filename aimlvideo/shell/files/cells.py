"""What people and spreadsheets write into a cell, in the spelling that a parameter takes.

Only what can mean one thing is changed: `1080P` where 1080p is a choice, `5 s` and `5,0` for a duration, `16/9` for a
ratio, also where Excel has made a time or a date of it. Everything else stays as it is, and the catalogue refuses it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from aimlvideo.core.catalog.model import Param

YES = frozenset((
    "true", "yes", "y", "on", "1", "x", "✓", "✔", "wahr", "ja", "vrai", "oui", "verdadero", "sí", "si", "vero", "да",
    "истина", "是",
))  # fmt: skip
NO = frozenset((
    "false", "no", "n", "off", "0", "falsch", "nein", "faux", "non", "falso", "нет", "ложь", "否",
))  # fmt: skip
_ERROR = re.compile(r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|NV|WERT!|BEZUG!)", re.IGNORECASE)
_FORMULA = re.compile(r"=\s*(\$?[A-Z]{1,3}\$?\d+\b|[A-ZÄÖÜ.]+\(|\").*", re.DOTALL)
_SHORTENED = re.compile(r"-?\d(?:[.,]\d+)?E\+\d\d+")
"""A long number as spreadsheets show it: the rest of its digits is lost."""
NO_RESULT = "#NO RESULT"
"""What stands for a formula that no spreadsheet has worked out."""
NOTHING = frozenset(("NaN", "nan", "None", "null", "NULL", "NaT", "<NA>"))
"""How programs write an empty cell."""
_SECONDS = re.compile(
    r"(\d+(?:[.,]\d+)?)\s*(?:s|secs?|seconds?|sek|sekunden?|secondes?|segundos?|secondi|сек|秒)\.?", re.I
)
_CLOCK = re.compile(r"(?:(\d{1,2}):)?(\d{1,2}):(\d{2})(?:\.0+)?")
_RATIO = re.compile("(\\d{1,2})\\s*[:/x\u00d7\u2236-]\\s*(\\d{1,2})(?::00)?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-(\d\d)-(\d\d)(?: 00:00:00)?")
_DAY = re.compile(r"(?:(\d{1,2})[-. /]+)?([a-zäéû]{3,9})\.?(?:[-. /]+(\d{1,2}))?", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OTHER_MONTHS = {"mär": 3, "mrz": 3, "mai": 5, "okt": 10, "dez": 12, "fév": 2, "avr": 4, "aoû": 8, "déc": 12}
_WIDE = {0x3000: " ", **{code + 0xFEE0: chr(code) for code in range(0x21, 0x7F)}}
"""Digits, letters and signs as Japanese and Chinese keyboards write them, as wide as the letters of these scripts."""
_ATTACHMENT = re.compile(r"\.\w{2,5} \((https?://[^\s()]+)\)(?:, ?|$)")
"""A file as Airtable exports it: its name, and its link in brackets."""
_SMART_QUOTES = str.maketrans("“”„‟«»", '"' * 6)


class CellError(ValueError):
    """A cell that stands for nothing. `expected` says what should be there, the message what to do."""

    def __init__(self, expected: str, hint: str) -> None:
        super().__init__(hint)
        self.expected = expected


def cell_value(name: str, param: Param, text: Any) -> Any:
    """Return what a cell means for a parameter: `yes` is true, `a.png; b.png` two items, `{...}` and `[...]` JSON.

    None where a program wrote the cell for one that is empty. Raises CellError where a cell that begins like JSON is
    none, and for an error of Excel.
    """
    forms = param.any_of or (param,)
    if not isinstance(text, str):
        return text  # a list or object of a DataFrame
    refuse_formula(text)
    if param.type == "boolean" and text.lower() in YES | NO:
        return text.lower() in YES
    if text in NOTHING and not any(text in form.choices for form in forms):
        return None
    takes_text = any(form.type == "string" and form.media is None for form in forms)
    if text.startswith(("[", "{")) and not takes_text:
        return _json(text)
    lists = next((form for form in forms if form.type == "array"), None)
    if lists is not None and not (takes_text and ";" not in text):
        return _items(text, media=lists.holds_media)
    return _file_or_link(text) if any(form.media for form in forms) else _spelled(name, forms, text)


def refuse_formula(text: str) -> None:
    """Raise CellError for a formula in place of its result."""
    if _ERROR.fullmatch(text):
        raise CellError("a value", "a formula failed there: mend it, or empty the cell")
    if text == NO_RESULT:
        raise CellError("a value", "nothing has worked this formula out: open the file in a spreadsheet and save it")
    if _SHORTENED.fullmatch(text):
        raise CellError("a value", "a spreadsheet shortened this number: format the column as text and enter it again")
    if _FORMULA.fullmatch(text):
        raise CellError("a value", "this is a formula: save the table with its results")


def _json(text: str) -> Any:
    """Return the value of JSON, also with typographic quotation marks, or as Python prints it."""
    try:
        return json.loads(text)
    except RecursionError:
        raise CellError("a list or object as JSON", "nested too deep") from None
    except ValueError as error:
        reason = str(error)
    try:
        return json.loads(text.translate(_SMART_QUOTES))
    except ValueError:
        pass
    try:
        # A list that pandas or Python printed has single quotation marks. Literals only: nothing is called.
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise CellError("a list or object as JSON", reason) from None


def _items(text: str, *, media: bool) -> list[str]:
    """Split a cell into its items; commas separate files, where no item has one itself."""
    text = _without_names(text) if media else text
    # Not at commas: prompts and links have them.
    items = [item.strip() for item in re.split(r"[;\n]", text) if item.strip()]
    if media and len(items) == 1 and "data:" not in text:
        # A link may have commas of its own: those between files are followed by a blank, or by the next link.
        between = r",\s+|,(?=https?://)" if "://" in text else ","
        by_comma = [item.strip() for item in re.split(between, text) if item.strip()]
        if any(all(re.search(kind, item) for item in by_comma) for kind in (r"\.\w{2,5}$", r"^https?://")):
            items = by_comma
    return [_file_or_link(item) for item in items] if media else items


def _file_or_link(text: str) -> str:
    """Return a path without the quotation marks that Windows copies along, and a link without blanks."""
    text = _without_names(text)
    if re.search(r"\shttps?://", text):
        raise CellError("one file", "there are several links: leave one of them")
    bare = text.strip("\"'“”").strip() if text[:1] in "\"'“" else text
    return bare.replace(" ", "%20") if bare.lower().startswith(("http://", "https://")) else bare


def _without_names(text: str) -> str:
    """Return the links alone of a cell that has attachments as Airtable exports them, one a line."""
    links = _ATTACHMENT.findall(text)
    return "\n".join(links) if links and text.endswith(")") and len(links) == text.count(" (http") else text


def _spelled(name: str, forms: tuple[Param, ...], text: str) -> str:
    """Return a text in the one spelling that the parameter takes; as it is where that is not sure."""
    plain = text.translate(_WIDE)
    choices = [str(choice) for form in forms for choice in form.choices]
    numeric = all(form.type in ("integer", "number") for form in forms) or all(map(_is_number, choices or ["-"]))
    candidates = {choice for choice in choices if choice.casefold() in (plain.casefold(), f"{plain.casefold()}p")}
    if any(_RATIO.fullmatch(choice) for choice in choices):
        ratios = {f"{wide}:{high}" for wide, high in _ratios(plain)} & {*choices}
        # Excel makes a date of 9:16 and of 16:9 alike: which one was meant cannot be told, and a clip of the wrong
        # shape is paid for.
        if len(ratios) > 1:
            shown = " or ".join(sorted(ratios))
            raise CellError("a ratio", f"a spreadsheet made a date of it ({shown}?): format the column as text")
        candidates |= ratios
    if numeric and (number := _number(plain, is_time="duration" in name or "second" in name)) is not None:
        candidates |= {number} if not choices or number in choices else set()
    # Two readings are none: the text stays, and the catalogue says what was expected.
    return candidates.pop() if len(candidates) == 1 else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def _number(text: str, *, is_time: bool) -> str | None:
    """Return a number as JSON has it, from `5,0`, and for a time from `5 s` and `00:00:05`; None where it is none."""
    if is_time and (match := _SECONDS.fullmatch(text)):
        text = match[1]
    if is_time and (match := _CLOCK.fullmatch(text)):
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return str(3600 * hours + 60 * minutes + seconds)
    if re.fullmatch(r"-?\d+,\d+", text) and not re.fullmatch(r"-?\d{1,3},\d{3}", text):  # 1,000 may be a thousand
        text = text.replace(",", ".")
    return re.sub(r"^(-?)0+(?=\d)|\.0+$", r"\1", text) if _is_number(text) else None


def _ratios(text: str) -> Iterator[tuple[int, int]]:
    """Give the ratios that a text can mean; a date can mean two."""
    if match := _RATIO.fullmatch(text):
        yield int(match[1]), int(match[2])
    elif match := _DATE.fullmatch(text):
        month, day = int(match[1]), int(match[2])
        yield from ((day, month), (month, day))
    elif (match := _DAY.fullmatch(text)) and (match[1] or match[3]):
        day, month = int(match[1] or match[3]), _month(match[2])
        yield from ((day, month), (month, day))


def _month(word: str) -> int:
    """Return the number of a month, 0 for any other word."""
    short = word[:3].lower()
    return _MONTHS.index(short) + 1 if short in _MONTHS else _OTHER_MONTHS.get(short, 0)
