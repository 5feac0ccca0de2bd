"""Where a job has pictures, videos and sounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aimlvideo.core.catalog.catalog import Model, Param

Replacement = Callable[[str, Any], Any]


def replace_media(model: Model, params: Mapping[str, Any], replacement: Replacement) -> dict[str, Any]:
    """Return `params` with `replacement(field path, value)` in the place of each picture, clip or sound that is a file.

    Lists and nested objects are walked; paths read `elements[2].reference_image_urls[0]`. Nothing given is changed.
    """
    return {
        name: _replaced(param, value, name, replacement) if (param := model.params.get(name)) else value
        for name, value in params.items()
    }


def media_fields(model: Model, params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the field path and the value of each picture, clip or sound in `params`."""
    media: list[tuple[str, Any]] = []

    def note(path: str, value: Any) -> Any:
        media.append((path, value))
        return value

    replace_media(model, params, note)
    return iter(media)


def _replaced(param: Param, value: Any, path: str, replacement: Replacement) -> Any:
    if value is None or not param.holds_media:
        return value
    if param.media is not None:
        # Some media parameters also take a word such as an asset's id: that is no path, even where a file has its name.
        return value if _is_no_file(param, value) else replacement(path, value)
    if param.any_of:
        form = form_of(param, value)
        return value if form is None else _replaced(form, value, path, replacement)
    if param.item is not None and isinstance(value, list | tuple):
        return [_replaced(param.item, item, f"{path}[{place}]", replacement) for place, item in enumerate(value)]
    if param.fields is not None and isinstance(value, Mapping):
        return {
            name: _replaced(part, item, f"{path}.{name}", replacement) if (part := param.fields.get(name)) else item
            for name, item in value.items()
        }
    return value


def _is_no_file(param: Param, value: Any) -> bool:
    """Tell a name by which the service itself knows a file, such as `gs://bucket/a.png`, where it takes those."""
    return isinstance(value, str) and any(re.fullmatch(pattern, value.strip()) for pattern in param.accepts)


def form_of(param: Param, value: Any) -> Param | None:
    """Return the form that `value` has: the first of the same shape whose fixed words are the ones given."""
    return next((form for form in param.any_of if _shape(value) == _kind(form) and _same_words(form, value)), None)


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return "object"
    return "array" if isinstance(value, list | tuple) else "one"


def _kind(form: Param) -> str:
    return form.type if form.type in {"object", "array"} else "one"


def _same_words(form: Param, value: Any) -> bool:
    parts = (form.fields or {}).items() if isinstance(value, Mapping) else ()
    return all(not part.choices or value.get(name, part.choices[0]) in part.choices for name, part in parts)
