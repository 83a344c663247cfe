"""What a format of files has to do, and which there are."""

from pathlib import Path
from typing import Protocol

import numpy as np

from jaxdiff.bulk.job import Job
from jaxdiff.bulk.shards import Filled, ShardRecord, Written


class Store(Protocol):
    """The files of a run in one format."""

    @property
    def path(self) -> Path:
        """What a reader opens."""
        ...

    @property
    def descriptions(self) -> list[str]:
        """The files that `complete` writes, by their names in the folder."""
        ...

    def files(self, index: int) -> list[str]:
        """The files of a shard, in the order of `write`, by their names in the folder."""
        ...

    def prepare(self) -> None:
        """Writes what can be said before the first shard; the same each time."""
        ...

    def write(self, filled: Filled, aside: Path) -> tuple[list[Written], int]:
        """Writes a shard's files, each whole or not at all, by way of the file `aside`; and the bytes of its records."""
        ...

    def complete(self, finished: list[ShardRecord]) -> None:
        """Writes what can be said when every shard is there; the same each time."""
        ...

    def first(self, record: ShardRecord, most: int) -> np.ndarray:
        """The first finite images of shard 0, at most `most`, out of the files of a complete set."""
        ...


def store_of(job: Job, size: int) -> Store:
    """The store of `job.format` for shards of `size` images."""
    classes = 0 if job.labels is None else job.model.classes
    parts = (job.out, job.num, size, job.model.shape, job.info, classes)
    if job.format == "zarr":
        from jaxdiff.bulk.zarr_store import ZarrStore

        return ZarrStore(*parts)
    from jaxdiff.bulk.record_store import RecordStore  # TFDS takes seconds to import

    return RecordStore(*parts)
