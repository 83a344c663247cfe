"""`bulk(job)`: any number of images into shards, continued after any interruption, by any number of processes."""

import shutil
import sys
from typing import Any

import jax
from tqdm import tqdm

from jaxdiff.bulk import manifest
from jaxdiff.bulk.job import SHEET, SHOWN, Job
from jaxdiff.bulk.plan import Build, plan_of
from jaxdiff.bulk.program import CompiledSampler
from jaxdiff.bulk.session import ASIDE, Session, Stopped
from jaxdiff.bulk.shards import RECORDS, Written, records
from jaxdiff.bulk.stores import store_of
from jaxdiff.lock import NAME, only_writer
from jaxdiff.places import check_places
from jaxdiff.training.interrupt import Interrupt


def bulk(job: Job, build: Build | None = None) -> int:
    """Makes what `job` asks for and is not there yet; returns the exit status: 0, or 1 if some images are not finite.

    build: compiles the sampler of a micro-batch; default `program_of`. A test may bring its own.

    Raises ValueError for a folder that is not this job's, that another run (or another process of this number) writes to, or
    in which something else is in the place of a file; and for a run without finite images. Raises DiskFull where space ran
    out, and SystemExit(128 + signal) on SIGTERM, Ctrl-C and SIGHUP. In each case all finished shards are kept, and the
    same job continues.
    """
    build = build or (lambda batch: program_of(job, batch))
    with only_writer(job.out, f"{NAME}.{job.process}" if job.process else NAME):
        plan = plan_of(job, build, _say)
        session = Session(job, plan, store_of(job, plan.shard), build, _say)
        _check_places(session)
        with Interrupt() as interrupt:
            try:
                session.make(interrupt)
            except Stopped:
                images = sum(record.num for record in records(job.out))
                _say(f"interrupted: {images} of {job.num} images are finished in {job.out}; to continue: {job.command}")
                raise interrupt.exit() from None
        if job.process == 0:
            return _end(session)
    if len(session.finished()) < plan.shards:
        return _end(session)
    with only_writer(job.out, wait=True):  # process 0 may be at it
        return _end(session)


def program_of(job: Job, batch: int) -> CompiledSampler:
    """The sampler of `job` for `batch` images on each local device."""
    return CompiledSampler(
        job.model.guided(job.guidance),
        seed=job.seed,
        shape=job.model.shape,
        solver=job.solver,
        grid=job.grid,
        cond=job.cond,
        batch=batch,
        devices=jax.local_devices(),
    )


def _end(session: Session) -> int:
    """Completes the folder if every shard of every process is finished; says how it stands; exit status."""
    job, plan, store, out = session.job, session.plan, session.store, session.job.out
    finished = session.finished()
    rate = f", {session.made / session.seconds:.1f} images/s" if session.made else ""
    if len(finished) < plan.shards:
        own = sum(shard.num for shard in session.shards())
        print(
            f"process {job.process} of {job.processes}: its {own} images are finished{rate}; "
            f"{plan.shards - len(finished)} of {plan.shards} shards are with other processes"
        )
        return 0
    stored = manifest.read_manifest(out) or plan.manifest
    if not stored["complete"] or not _described(session, stored):
        store.complete(finished)
        job.draw_sheet(store.first(finished[0], SHOWN))
        descriptions = [Written.of(out, name) for name in (*store.descriptions, SHEET)]
        stored = manifest.completed(stored, manifest.sections(out, stored), finished, descriptions)
        manifest.write(out, stored)
        shutil.rmtree(out / ASIDE, ignore_errors=True)
        for leftover in out.rglob(".*.partial"):  # of processes that were killed
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    totals = stored["totals"]
    print(
        f"{job.num} images of {' x '.join(map(str, job.model.shape))} in {store.path}, "
        f"{totals['bytes'] / 1e6:.1f} MB ({stored['calls_per_image']} calls each{rate}); look at {out / SHEET}"
    )
    if totals["saturated_values"]:
        print(
            f"{totals['saturated_values']} values beyond the range of {job.info.dtype} became its end "
            "(--dtype float32 keeps them)"
        )
    failed = totals["not_finite"]
    if failed:
        print(f"{len(failed)} images were not finite: {failed[:10]}; all of them: {out / manifest.NAME}")
    return 1 if failed else 0


def _described(session: Session, stored: dict[str, Any]) -> bool:
    """Whether the files that describe a complete set are those that were written; says which are made again."""
    problems = [one.problem(session.job.out, verify=True) for one in manifest.descriptions(stored)]
    for problem in filter(None, problems):
        session.say(f"made again: {problem}")
    return not any(problems)


def _check_places(session: Session) -> None:
    """Raises ValueError where something else is in the place of what is written."""
    store, shards = session.store, range(session.plan.shards)
    files = [*store.descriptions, SHEET, *(name for i in shards for name in store.files(i))]
    check_places(session.job.out, files, [RECORDS, manifest.SECTIONS, ASIDE])


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
