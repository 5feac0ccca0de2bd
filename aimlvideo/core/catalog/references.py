"""A job against the catalogue where it takes clips, or frames of them, from other jobs: as if those were there."""

from __future__ import annotations

from collections.abc import Iterator

from aimlvideo.core.catalog.aliases import canonical_name
from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.catalog.model import Model, Param
from aimlvideo.core.catalog.validation import Checked, check, model_of
from aimlvideo.core.jobs.chains import Reference, references, with_references
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.errors import InvalidJobs, Problem

_ENDINGS = {"image": "png", "video": "mp4"}


def check_with_references(
    job: VideoJob, catalog: Catalog, *, service: str = "", strict: bool = False, legacy: bool = False
) -> Checked:
    """Check a job as `check` does, with links in the place of its references: those clips are not there yet.

    Raises InvalidJobs where a reference is wrong in itself: nothing else could be said of the job then.
    """
    model = model_of(job, catalog, service)
    # Before the stand-ins take the references' place, after which nobody could see what was wrong.
    if isinstance(model, Model) and (problems := list(_reference_problems(job, model))):
        raise InvalidJobs(problems)
    job = job.with_params(with_references(job.params, _stand_in))
    return check(job, catalog, service=service, strict=strict, legacy=legacy)


def _stand_in(reference: Reference) -> str:
    return f"https://a-clip-to-come.invalid/clip.{_ENDINGS[reference.kind]}"


def _reference_problems(job: VideoJob, model: Model) -> Iterator[Problem]:
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
