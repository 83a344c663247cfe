"""How a job is carried out: micro-batch and shard size, chosen for a new folder and read from the manifest of a begun one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxdiff.bulk import manifest
from jaxdiff.bulk.job import Job, numeric_versions
from jaxdiff.bulk.memory import BATCHES, choose_batch, free_bytes, is_out_of_memory
from jaxdiff.bulk.processes import wait_for_manifest
from jaxdiff.bulk.program import CompiledSampler

SHARD_BYTES = 128e6
SHARD_SECONDS = 600.0
"""The most work that a kill can cost, where the rate is known."""

Build = Callable[[int], CompiledSampler]
Say = Callable[[str], None]


@dataclass
class Plan:
    """The folder's manifest, the sections so far, and the compiled program of the last one."""

    manifest: dict[str, Any]
    sections: list[dict[str, Any]]
    program: CompiledSampler | None
    """None until it is needed: a folder in which all is finished needs none."""
    resumed: bool

    @property
    def batch(self) -> int:
        """Images in one program on a device, for the shards yet to be made."""
        return self.sections[-1]["batch"]

    @property
    def shard(self) -> int:
        """Images in a shard."""
        return self.manifest["request"]["shard"]

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.manifest["request"]["num"] // self.shard)


def plan_of(job: Job, build: Build, say: Say) -> Plan:
    """Reads or, in process 0 of a new run, writes the manifest.

    Raises ValueError where the folder is not this job's, or where the micro-batch of its manifest does not fit.
    """
    values = manifest.read_manifest(job.out)
    if values is None and job.process == 0:
        return _begun(job, build, say)
    return _continued(job, wait_for_manifest(job.out) if values is None else values, build, say, values is not None)


def _begun(job: Job, build: Build, say: Say) -> Plan:
    devices, rates = jax.local_devices(), {}
    if job.batch is not None:
        _check_shard(job.shard, job.batch * len(devices))
        program = _asked_for(job.batch, build)
    else:
        most = max(1, -(-job.num // len(devices)))
        sizes = [b for b in BATCHES if b < 2 * most and (job.shard is None or job.shard % (b * len(devices)) == 0)]
        if not sizes:
            sizes = [_divisor(most if job.shard is None else job.shard // len(devices))]
            _check_shard(job.shard, sizes[0] * len(devices))
        free = free_bytes(devices[0], sharing=len(devices))
        chosen = choose_batch(build, lambda program: _once(program, job), free, sizes)
        program, rates = chosen.program, chosen.rates
        measured = ", ".join(f"{rate:.3g} images/s at {batch}" for batch, rate in rates.items())
        say(f"micro-batch: {program.batch} images on each of {len(devices)} devices ({measured})")
    size = job.shard or default_shard(job, program, rates.get(program.batch))
    values = {
        "request": {**job.request(), "shard": size},
        "run": None if job.model.run is None else str(job.model.run),
        "asked_batch": job.batch,
        "calls_per_image": program.calls,
        "sections": [{"batch": program.batch, "why": "asked for" if job.batch else "measured", "rates": rates}],
        **_where(),
        "info": job.info.to_json(),
        "complete": False,
    }
    manifest.write(job.out, values)
    return Plan(values, manifest.sections(job.out, values), program, resumed=False)


def _asked_for(batch: int, build: Build) -> CompiledSampler:
    try:
        return build(batch)
    except jax.errors.JaxRuntimeError as error:
        if is_out_of_memory(error):
            raise ValueError(
                f"got --batch {batch}, for which the device's memory does not suffice ({error}); expected one that fits; to "
                "fix: ask for less, or leave it out"
            ) from error
        raise


def _continued(job: Job, values: dict[str, Any], build: Build, say: Say, resumed: bool) -> Plan:
    shard = values["request"]["shard"]
    manifest.check_request(job.out, values, {**job.request(), "shard": job.shard or shard})
    micro_batches = manifest.sections(job.out, values)
    batch = micro_batches[-1]["batch"]
    if job.batch is not None and job.batch not in (batch, values["asked_batch"]):
        if job.batch > batch:
            raise ValueError(
                f"got --batch {job.batch} for {job.out}, which was begun with {batch}; expected {batch}, or less to begin "
                "a new section; to fix: leave --batch out"
            )
        micro_batches = manifest.add_section(job.out, values, job.batch, "asked for")
        batch = micro_batches[-1]["batch"]
        say(f"a new section with micro-batch {batch} begins; finished shards keep theirs")
    environment = {name: now for name, now in _where().items() if name != "devices"}  # their number changes no image
    changed = [f"{name}: {values.get(name)} -> {now}" for name, now in environment.items() if values.get(name) != now]
    if changed and resumed:
        say("the last digits may differ from those of the finished shards: " + "; ".join(changed))
    return Plan(values, micro_batches, None, resumed)


def fitting(job: Job, batch: int, build: Build) -> CompiledSampler:
    """The program of a micro-batch that the manifest asks for. Raises ValueError where memory does not suffice."""
    devices = jax.local_devices()
    free = free_bytes(devices[0], sharing=len(devices))
    try:
        program = build(batch)
    except jax.errors.JaxRuntimeError as error:
        if is_out_of_memory(error):
            raise does_not_fit(job, batch, free) from error
        raise
    if free is not None and program.bytes > free:
        raise does_not_fit(job, batch, free)
    return program


def does_not_fit(job: Job, batch: int, free: int | None) -> ValueError:
    """What a resume says where memory does not suffice."""
    return ValueError(
        f"got the micro-batch {batch} of {job.out}, which does not fit into the device's memory"
        + ("" if free is None else f" ({free / 1e6:.0f} MB free)")
        + f"; expected the device of the first run, or a like one; to fix: free its memory, or --batch {max(1, batch // 2)} "
        "to make the shards that are left in a new section"
    )


def default_shard(job: Job, program: CompiledSampler, rate: float | None) -> int:
    """Images in a file: micro-batches of all devices, doubled while it stays below 128 MB and ten minutes' work."""
    image_bytes = int(np.prod(job.model.shape)) * np.dtype(job.info.dtype).itemsize
    most = min(SHARD_BYTES / image_bytes, job.num / job.processes, np.inf if rate is None else rate * SHARD_SECONDS)
    size = program.size
    while 2 * size <= most:
        size *= 2
    return size


def _once(program: CompiledSampler, job: Job) -> None:
    num = min(program.size, job.num)
    jax.block_until_ready(program(0, job.cond_of(0, num, program.size)))


def _check_shard(shard: int | None, size: int) -> None:
    if shard is not None and shard % size:
        raise ValueError(
            f"got --shard {shard} for micro-batches of {size} images on all devices; expected a multiple; to fix: --shard "
            f"{max(1, round(shard / size)) * size}"
        )


def _divisor(number: int) -> int:
    """The largest power of two that divides `number`, at most the smallest micro-batch that is tried."""
    return max(1, min(BATCHES[0], number & -number))


def _where() -> dict[str, Any]:
    return {
        "versions": numeric_versions(),
        "device": jax.local_devices()[0].device_kind,
        "devices": jax.local_device_count(),
    }
