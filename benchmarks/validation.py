"""How many jobs a second are checked, per family and by what the checking finds: `python -m benchmarks.validation`.

Each figure is the best of five rounds, by the CPU of this process; the aim is 20,000 a second everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle, islice

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.endpoints import NAMED
from aimlvideo.core.catalog.model import Model, Param
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.job import VideoJob

JOBS = 4_000
AIM = 20_000


def plain(param: Param) -> object:
    """Return a value that is right, for every parameter that a model has."""
    if param.any_of:
        return plain(param.any_of[0])
    if param.choices or param.media:
        return param.choices[0] if param.choices else "https://a.example/x.png"
    if param.type == "array":
        return [plain(param.item)] * max(1, param.min_items or 0) if param.item else []
    low = param.minimum or 1
    parts = {name: plain(part) for name, part in (param.fields or {}).items()}
    return {"string": "A dancer turns", "integer": int(low), "number": low, "boolean": False}.get(param.type, parts)


def full(model: Model) -> Iterator[VideoJob]:
    """Give a job with every parameter; where a model has several endpoints, one for each: none takes what all take."""
    for endpoint in model.endpoints.values() or (model,):
        params = {name: plain(param) for name, param in endpoint.params.items()}
        for rule in endpoint.rules:
            for name in rule.fields[1:] if rule.kind != "forbidden_when" else ():
                params.pop(name, None)
        yield VideoJob(model.id, id="job", **params, **({NAMED: endpoint.endpoint} if model.endpoints else {}))


def slipped(job: VideoJob) -> VideoJob:
    """Return the job with a name that a model calls otherwise, and a number as text."""
    return VideoJob(
        job.model,
        id=job.id,
        **{"negativePrompt" if name == "negative_prompt" else name: value for name, value in job.params.items()},
    )


def wrong(job: VideoJob) -> VideoJob:
    """Return the job with two mistakes."""
    return VideoJob(job.model, id=job.id, **{**job.params, **dict.fromkeys(list(job.params)[:2], 7.5)})


def per_second(jobs: list[VideoJob], service: str, *, bad: bool) -> float:
    """Return how many of these jobs, over and over, are checked in a second."""
    catalog = load_catalog()
    assert all(bool(check(job, catalog, service=service).problems) == bad for job in jobs), "not what it should be"
    many = list(islice(cycle(jobs), JOBS))
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for job in many:
            check(job, catalog, service=service)
        best = min(best, time.process_time() - start)
    return JOBS / best


def main() -> None:
    """Print the table."""
    catalog = load_catalog()
    print(f"{'family':<18}{'jobs':>7}{'right':>12}{'slipped':>12}{'wrong':>12}   jobs a second")
    slowest = float("inf")
    for family in sorted({(model.service, model.developer) for model in catalog}):
        jobs = [job for model in catalog if (model.service, model.developer) == family for job in full(model)]
        # One in ten models has a rule between its parameters that a job with all of them breaks.
        jobs = [job for job in jobs if not check(job, catalog, service=family[0]).problems]
        kinds = [jobs, [slipped(job) for job in jobs], [wrong(job) for job in jobs]]
        rates = [per_second(kind, family[0], bad=kind is kinds[2]) for kind in kinds]
        slowest = min(slowest, rates[0])
        name = family[1] if family[0] == "aimlapi" else f"{family[1]} gateway"
        print(f"{name:<18}{len(jobs):>7}" + "".join(f"{rate:>12,.0f}" for rate in rates))
    print(f"slowest of the right ones: {slowest:,.0f} a second ({'reaches' if slowest >= AIM else 'MISSES'} {AIM:,})")


if __name__ == "__main__":
    main()
