"""One process's part of a bulk run: its unfinished shards through the pipeline, and what may go wrong on the way."""

import sys
import time
from dataclasses import dataclass, field

import jax
import numpy as np
from tqdm import tqdm

from jaxdiff.bulk import manifest
from jaxdiff.bulk.convert import empty, put
from jaxdiff.bulk.disk import check_space, full
from jaxdiff.bulk.job import Job
from jaxdiff.bulk.memory import is_out_of_memory
from jaxdiff.bulk.pipeline import pump
from jaxdiff.bulk.plan import Build, Plan, Say, does_not_fit, fitting
from jaxdiff.bulk.program import CompiledSampler
from jaxdiff.bulk.shards import Filled, Shard, ShardRecord, forget, shard_of, state
from jaxdiff.bulk.stores import Store
from jaxdiff.durable import is_full
from jaxdiff.training.interrupt import Interrupt

ASIDE = ".partial"


class Stopped(Exception):
    """A signal arrived."""


@dataclass
class Session:
    """What this process does from start to end, and how far it came."""

    job: Job
    plan: Plan
    store: Store
    build: Build
    say: Say
    made: int = 0
    """Images sampled."""
    seconds: float = 0.0
    """That took, compilation left out."""
    program: CompiledSampler = field(init=False)
    bar: tqdm = field(init=False)

    def make(self, interrupt: Interrupt) -> None:
        """All shards of this process that are not finished. Raises Stopped on a signal."""
        job, plan = self.job, self.plan

        def check() -> None:
            if interrupt.signum is not None:
                raise Stopped

        todo = self._unfinished(job.verify)
        if not todo:
            return
        if plan.manifest["complete"]:  # a shard was damaged since
            plan.manifest = {**plan.manifest, "complete": False}
            manifest.write(job.out, plan.manifest)
        if job.process == 0:
            self.store.prepare()
        (job.out / ASIDE).mkdir(exist_ok=True)
        warning = check_space(job)
        if warning:
            self.say(warning)
        self.program = plan.program or fitting(job, plan.batch, self.build)
        num_images = sum(shard.num for shard in self.shards())
        began, left = time.perf_counter(), sum(shard.num for shard in todo)
        with tqdm(
            total=num_images,
            initial=num_images - left,
            unit="image",
            desc="generating",
            dynamic_ncols=True,
            mininterval=0.1 if sys.stderr.isatty() else 15.0,
        ) as self.bar:
            while todo:
                try:
                    pump(
                        todo,
                        self.program.size,
                        draw=self._draw,
                        new=lambda shard: empty(shard, job.model.shape, job.info.dtype, job.labels),
                        convert=self._convert,
                        write=self._write,
                        check=check,
                    )
                except jax.errors.JaxRuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    self._halve(error)
                todo = self._unfinished()
                self.bar.n = num_images - sum(shard.num for shard in todo)
        self.seconds = time.perf_counter() - began

    def shards(self) -> list[Shard]:
        """Those of this process, finished or not: every `processes`-th, whatever else is known."""
        job = self.job
        return [shard_of(i, job.num, self.plan.shard) for i in range(job.process, self.plan.shards, job.processes)]

    def finished(self) -> list[ShardRecord]:
        """The records of the finished shards of all processes."""
        job, size = self.job, self.plan.shard
        states = [state(job.out, shard_of(i, job.num, size), self.store.files(i)) for i in range(self.plan.shards)]
        return [one for one in states if isinstance(one, ShardRecord)]

    def _unfinished(self, verify: bool = False) -> list[Shard]:
        """This process's shards that are not finished; records of files that are not what was written are removed."""
        todo = []
        for shard in self.shards():
            status = state(self.job.out, shard, self.store.files(shard.index), verify)
            if isinstance(status, str):
                self.say(f"shard {shard.index} is made again: {status}")
                forget(self.job.out, shard.index)
            if not isinstance(status, ShardRecord):
                todo.append(shard)
        return todo

    def _draw(self, first: int, num: int):
        return self.program(first, self.job.cond_of(first, num, self.program.size))

    def _convert(self, samples, filled: Filled, low: int) -> None:
        num = put(samples, filled, low, self.job.model.normaliser)
        self.made += num
        self.bar.update(num)

    def _write(self, filled: Filled) -> None:
        job, shard = self.job, filled.shard
        if not filled.finite.any():
            raise ValueError(
                f"got {shard.num} images from {shard.first} on of which not one is finite; expected images; to fix: more "
                "--calls, another --solver, or an earlier --checkpoint"
            )
        try:
            if shard.index == 0:
                job.draw_sheet(filled.images[filled.finite])
            files, payload = self.store.write(filled, job.out / ASIDE / f"{shard.index:05d}")
            ShardRecord(
                shard=shard.index,
                first=shard.first,
                num=shard.num,
                batch=self.program.batch,
                files=files,
                not_finite=(shard.first + np.flatnonzero(~filled.finite)).tolist(),
                saturated=filled.saturated,
                payload=payload,
                seconds=round(filled.seconds, 3),
                device=jax.local_devices()[0].device_kind,
            ).save(job.out)
        except OSError as error:
            if is_full(error):
                raise full(job, error) from error
            raise

    def _halve(self, error: Exception) -> None:
        """A new section with half the micro-batch; on a resume that never fitted, a refusal."""
        job, plan = self.job, self.plan
        batch = self.program.batch
        if plan.resumed and not self.made:
            raise does_not_fit(job, batch, None) from error
        while True:
            if batch == 1:
                raise ValueError(
                    f"got no memory left on the device for a single image ({error}); expected enough; to fix: end what "
                    f"else runs on it, then {job.command}"
                ) from error
            plan.sections = manifest.add_section(job.out, plan.manifest, batch // 2, "out of memory")
            batch = plan.sections[-1]["batch"]
            self.bar.write(
                f"out of memory: micro-batch {batch} from here on; finished shards keep theirs", file=sys.stderr
            )
            try:
                self.program = self.build(batch)
                return
            except jax.errors.JaxRuntimeError as again:
                if not is_out_of_memory(again):
                    raise
