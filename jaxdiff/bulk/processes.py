"""Several processes, on one host or many, that share the work and nothing else.

`jax.distributed` tells each process its index and its devices, and on TPU pods and Slurm it finds out by itself who
takes part. Then it is shut down: nothing is exchanged while images are made, and as long as it runs, the end of one
process would abort the others (measured on jax 0.10.2: at once where process 0 dies, after the heartbeat timeout of 100 s
where another does).
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from jaxdiff import stopping
from jaxdiff.bulk import manifest

PATIENCE = 1800.0
"""Seconds that a process waits for the manifest: process 0 compiles and measures before it writes it."""


@contextlib.contextmanager
def joined_processes(
    distributed: bool = False,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> Iterator[tuple[int, int]]:
    """(index, number) of this process among those of the run. Enter before anything of JAX has run.

    distributed: by `jax.distributed`, from `coordinator` ("host:port" of process 0), `num_processes` and `process_id`
    or, where these are None, from what the cluster says; it ends with the block. Otherwise `num_processes` and
    `process_id` alone, such as those of an array of jobs that know nothing of each other; or one process.

    Raises ValueError for an index without a number, or beyond it.
    """
    options = (num_processes, process_id)
    if (num_processes is None) != (process_id is None) or (coordinator is not None and not distributed):
        raise ValueError(
            f"got coordinator={coordinator}, num_processes={num_processes}, process_id={process_id}; expected both of the "
            "latter or none, and the first with --distributed only; to fix: add what is missing"
        )
    if num_processes is not None and process_id is not None and not 0 <= process_id < num_processes:
        raise ValueError(f"got process_id={process_id} of {num_processes}; expected 0 to {num_processes - 1}")
    if not distributed:
        yield (0, 1) if None in options else (process_id, num_processes)  # pyright: ignore[reportReturnType]
        return
    jax.distributed.initialize(coordinator, num_processes, process_id)
    try:
        jax.devices()  # while they can still ask each other
        yield jax.process_index(), jax.process_count()
    finally:
        jax.distributed.shutdown()
        stopping.reinstall()


def wait_for_manifest(out: Path) -> dict[str, Any]:
    """The manifest, once process 0 has written it. Raises TimeoutError where it does not."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        values = manifest.read_manifest(out)
        if values is not None:
            return values
        time.sleep(0.2)
    raise TimeoutError(
        f"got no {out / manifest.NAME} within {PATIENCE / 60:.0f} minutes; expected process 0 to write it; to fix: see what "
        "process 0 says, and that all processes see the same folder"
    )
