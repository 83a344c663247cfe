"""An endless, repeatable stream of training batches whose position can be saved."""

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdiff.data.errors import DataError
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.pairing import Pairing, as_network
from jaxdiff.data.patches import Batch, check_patch, random_patch, turnable
from jaxdiff.data.source import Source

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import grain

EPOCHS = 2**30  # without end to anybody; grain overflows at batches of 1 where it is told "for ever"


class Loader:
    """Batches of random, normalised patches; an iterator that never ends.

    Every epoch shuffles the records anew and draws one patch from each. Place and orientation of draw n depend on
    (seed, n) alone, so that the batches after `set_state(get_state())` are bitwise those of an undisturbed run,
    whatever the number of threads. Grain threads prepare batches ahead; there are no worker processes, which would
    need absl's flags.

    Args:
        source: records with images (*spatial, C) at least as large as the patch.
        patch: (Y, X) or (Z, Y, X) in pixels.
        augment: random flips and quarter turns, as far as the pixel sizes allow (jaxdiff.data.patches).
        threads: how many batches are prepared at the same time; 0 for none ahead.
        pairing: makes the pairs of a conditional task; default the images alone.

    `next` gives "image" float32 (batch_size, *patch, C) and, where the records or pairs have them, "input" float32
    (batch_size, *patch, C'), "mask" int32 (batch_size, *patch) and "label" int32 (batch_size,). Raises DataError for a
    patch that does not fit.
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
        pairing: Pairing | None = None,
    ):
        if batch_size < 1 or not len(source):
            raise DataError(f"batch_size {batch_size} of {len(source)} records", "at least 1 of each", "raise it")
        self.patch = check_patch(patch, source.info)
        draw = _Draw(source, normaliser, self.patch, seed, augment, pairing)
        self._identity = {
            "records": len(source),
            "patch": list(self.patch),
            "batch_size": batch_size,
            "seed": seed,
            "augment": augment,
        }
        draws = grain.MapDataset.range(len(source)).repeat(EPOCHS).map_with_index(draw).batch(batch_size)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
        self._batches = iter(draws.to_iter_dataset(options))

    def __iter__(self) -> "Loader":
        return self

    def __next__(self) -> Batch:
        return next(self._batches)

    def get_state(self) -> dict[str, Any]:
        """Position and identity as JSON values."""
        return {"position": dict(self._batches.get_state()), **self._identity}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to a saved position. Raises DataError for the state of a loader of other records, patch, size or seed."""
        identity = {name: state.get(name) for name in self._identity}
        if identity != self._identity:
            raise DataError(
                f"the position of a loader with {identity}",
                f"{self._identity}",
                "resume with the same data and settings",
            )
        self._batches.set_state(state["position"])


class _Draw(grain.transforms.MapWithIndex):
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
        # Grain's own shuffle takes 250 µs an index, five times the rest of a 64 x 64 draw.
        self.order = functools.lru_cache(2)(lambda epoch: self._rng(0, epoch).permutation(len(source)))

    def map_with_index(self, index: int, element: int) -> Batch:
        epoch, place = divmod(index, len(self.source))
        record = self.source[int(self.order(epoch)[place])]
        rng = self._rng(1, index)
        patch = random_patch(record, self.patch, rng, self.augment, self.turn)
        return as_network(patch, self.normaliser, self.pairing, rng)

    def _rng(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose, number])
