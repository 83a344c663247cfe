"""An endless, repeatable stream of training batches whose position can be saved."""

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from absl import flags

from jaxdiff.data.errors import DataError
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Pairing, as_network, cut
from jaxdiff.data.patches import Batch, Record, check_patch, turnable
from jaxdiff.data.sources.source import Source
from jaxdiff.data.workers import begin_worker, carry_config_files, out_of_reach_of_signals, quiet_tracker

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import grain

DRAWS = 2**60  # without end to anybody; grain overflows where it is told "for ever"
REPLACED = "replaced"  # in batches on their way: the record that could not be read and was replaced, or -1


class Loader:
    """Batches of random, normalised patches; an iterator that never ends.

    Every epoch shuffles the records anew and draws one patch from each. Place and orientation of draw n depend on
    (seed, n) alone, so that the batches after `set_state(get_state())` are bitwise those of an undisturbed run, whatever
    the number of threads, workers and hosts.

    Args:
        source: records with images (*spatial, C) at least as large as the patch.
        patch: (Y, X) or (Z, Y, X) in pixels.
        batch_size: of all hosts together.
        augment: random flips and quarter turns, as far as the pixel sizes allow (jaxdiff.data.patches).
        threads: how many batches are prepared at the same time; 0 for none ahead.
        workers: processes that do so, each with these threads; 0 for this process alone.
        pairing: makes the pairs of a conditional task; default the images alone.
        part: (i, n): the rows of each batch that are host i's of n, in the order of hosts; only their records are read.
        max_unreadable: records that may turn out unreadable on the way. Each is named in a warning and replaced by the next
            of its epoch's order; one more is an error.

    `next` gives "image" float32 (rows, *patch, C) and, where the records or pairs have them, "input" float32
    (rows, *patch, C'), "mask" int32 (rows, *patch) and "label" int32 (rows,), and "augmentation" float32
    (rows, axes + 1), what was done to the orientation (jaxdiff.data.patches). Raises DataError for a patch that does not
    fit, and a batch that the hosts do not share equally.
    """

    def __init__(
        self,
        source: Source,
        normaliser: Normaliser,
        patch: Sequence[int],
        batch_size: int,
        seed: int = 0,
        augment: bool = True,
        threads: int = 2,
        workers: int = 0,
        pairing: Pairing | None = None,
        part: tuple[int, int] = (0, 1),
        max_unreadable: int = 0,
    ):
        if batch_size < 1 or not len(source):
            raise DataError(f"batch_size {batch_size} of {len(source)} records", "at least 1 of each", "raise it")
        host, hosts = part
        if batch_size % hosts:
            raise DataError(f"batch_size {batch_size} for {hosts} hosts", "a multiple", "change it")
        self.patch, self.source = check_patch(patch, source.info), source
        self._rows, self._start = range(host * batch_size // hosts, (host + 1) * batch_size // hosts), 0
        self._draw = _Draw(source, normaliser, patch=self.patch, seed=seed, augment=augment, pairing=pairing)
        self._threads, self._workers, self._batch_size = threads, workers, batch_size
        self.max_unreadable, self.unreadable = max_unreadable, {}
        self._identity = {
            "records": len(source),
            "patch": list(self.patch),
            "batch_size": batch_size,
            "seed": seed,
            "augment": augment,
        }
        self._open()

    def _open(self) -> None:
        """Begins at batch `self._start`."""
        rows = _Rows(self._draw, self._rows, self._batch_size, self._start)
        draws = grain.MapDataset.range(DRAWS).map_with_index(rows).batch(len(self._rows))
        batches = draws.to_iter_dataset(
            grain.ReadOptions(num_threads=self._threads, prefetch_buffer_size=2 * self._threads)
        )
        if self._workers:
            if (
                not flags.FLAGS.is_parsed()
            ):  # grain's processes read absl's flags, which nobody but absl's own main parses
                flags.FLAGS.mark_as_parsed()
            quiet_tracker()
            carry_config_files()
            options = grain.MultiprocessingOptions(self._workers, per_worker_buffer_size=2)
            batches = batches.mp_prefetch(options, worker_init_fn=begin_worker)
        self._batches, self._taken = iter(batches), 0

    def __iter__(self) -> "Loader":
        return self

    def __next__(self) -> Batch:
        with out_of_reach_of_signals() if self._workers and not self._taken else nullcontext():
            batch = dict(next(self._batches))
        self._taken += 1
        for record in batch.pop(REPLACED):
            if record >= 0 and int(record) not in self.unreadable:
                self._name(int(record))
        return batch

    def _name(self, record: int) -> None:
        """Says which record could not be read; raises DataError when there are too many."""
        self.unreadable[record] = _why(self.source, record)
        text = f"record {record} of the training data cannot be read ({self.unreadable[record]})"
        if len(self.unreadable) > self.max_unreadable:
            raise DataError(
                f"{text}, number {len(self.unreadable)} on the way",
                f"at most {self.max_unreadable}",
                "repair or remove the file, or allow more: --max-unreadable",
            )
        warnings.warn(f"{text}; the next one takes its place", stacklevel=3)

    def get_state(self) -> dict[str, Any]:
        """Position and identity as JSON values, the same for all numbers of hosts and workers."""
        return {"position": {"next_index": self._start + self._taken}, **self._identity}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to a saved position. Raises DataError for the state of a loader of other records, patch, size or seed."""
        identity = {name: state.get(name) for name in self._identity}
        if identity != self._identity:
            raise DataError(
                f"the position of a loader with {identity}",
                f"{self._identity}",
                "resume with the same data and settings",
            )
        self.close()
        self._start = int(state["position"]["next_index"])
        self._open()

    def close(self) -> None:
        """Ends threads and workers."""
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()
        self._batches = iter(())


class _Rows(grain.transforms.MapWithIndex):
    """Row k of one host as the draw that it is of all hosts' batches, from batch `start` on."""

    def __init__(self, draw: "_Draw", rows: range, batch_size: int, start: int):
        self.draw, self.rows, self.batch_size, self.start = draw, rows, batch_size, start

    def map_with_index(self, index: int, element: int) -> Batch:
        batch, row = divmod(index, len(self.rows))
        return self.draw((self.start + batch) * self.batch_size + self.rows[row])


class _Draw:
    """Draw n: the next record of this epoch's order, cut, turned and normalised. Threads may share it."""

    def __init__(
        self,
        source: Source,
        normaliser: Normaliser,
        patch: tuple[int, ...],
        seed: int,
        augment: bool,
        pairing: Pairing | None,
    ):
        self.source, self.normaliser, self.patch, self.seed = source, normaliser, patch, seed
        self.pairing = pairing
        self.augment, self.turn = augment, turnable(source.info)
        self._orders: dict[int, np.ndarray] = {}

    def __call__(self, index: int) -> Batch:
        epoch, place = divmod(index, len(self.source))
        record, replaced = self._read(self._order(epoch), place)
        rng = self._rng(1, index)
        patch = cut(record, self.patch, rng, self.pairing, self.augment, self.turn)
        return {**as_network(patch, self.normaliser, self.pairing, rng), REPLACED: np.asarray(replaced)}

    def _read(self, order: np.ndarray, place: int) -> tuple[Record, int]:
        """The record at a place of the order, or the next that can be read; and the number of the first, or -1."""
        index = int(order[place])
        try:
            return self.source[index], -1
        except Exception:  # whatever a broken file makes its reader raise; the loader names it
            for after in range(1, len(order)):
                try:
                    return self.source[int(order[(place + after) % len(order)])], index
                except Exception:  # counted when it is its own turn
                    continue
            raise

    def _order(self, epoch: int) -> np.ndarray:
        # Grain's own shuffle takes 250 µs an index, five times the rest of a 64 x 64 draw.
        order = self._orders.get(epoch)
        if order is None:
            order = self._rng(0, epoch).permutation(len(self.source))
            self._orders = {**{e: o for e, o in self._orders.items() if e == epoch - 1}, epoch: order}
        return order

    def _rng(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose, number])


def _why(source: Source, record: int) -> str:
    try:
        source[record]
    except Exception as error:
        return " ".join(str(error).split())[:300] or repr(error)
    return "it could not be read before, and can now"
