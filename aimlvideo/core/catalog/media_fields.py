"""Where a job has pictures, videos and sounds, and references to the clips of other jobs in their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aimlvideo.core.catalog.aliases import canonical_name
from aimlvideo.core.catalog.catalog import Model, Param
from aimlvideo.core.jobs.chains import Reference, references, with_references
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.errors import Problem

Replacement = Callable[[str, Any], Any]
_ENDINGS = {"image": "png", "video": "mp4"}


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


def with_stand_ins(job: VideoJob) -> VideoJob:
    """Return a job that has links where it has references: checked and priced as if the clips were there."""
    return job.with_params(with_references(job.params, _stand_in))


def _stand_in(reference: Reference) -> str:
    return f"https://a-clip-to-come.invalid/clip.{_ENDINGS[reference.kind]}"


def reference_problems(job: VideoJob, model: Model) -> Iterator[Problem]:
    """Yield what is wrong with a job's references: their form, or a frame where a clip is wanted, or the reverse."""
    try:
        taken = list(references(job.params))
    except ValueError as error:
        yield Problem("from", str(error), job=job.id)
        return
    for place, reference in taken:
        name = place.partition("[")[0]
        param = model.params.get(name) or model.params.get(canonical_name(name, model.params) or "")
        kinds = _kinds(param) if param else set()
        # No kinds: the parameter is unknown or takes no media, and the check against the catalogue says that better.
        if kinds and reference.kind not in kinds and "any" not in kinds:
            hint = 'add "frame": "last"' if "image" in kinds else 'leave out "frame"' if "video" in kinds else ""
            got = "a whole clip" if reference.frame is None else "a frame of a clip"
            yield Problem(place, f"a reference to {' or '.join(sorted(kinds))}", got, hint, job=job.id)


def _kinds(param: Param) -> set[str]:
    parts = (param, *param.any_of, *((param.item,) if param.item else ()))
    return {part.media for part in parts if part.media}
