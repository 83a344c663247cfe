"""The sampler of one micro-batch, compiled ahead of time: its memory is known before it runs, and a call only dispatches."""

import math
import time
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.sampling.program import program
from jaxdiff.sampling.solve import on_rows
from jaxdiff.seeds import key_of


class CompiledSampler:
    """`samples = program(first, cond)`: (images, finite) from `first` on in model units, on the devices, not waited for.

    It is the program of `jd.sample`: at equal `batch` the images are the same.
    """

    def __init__(
        self,
        denoise: Denoiser,
        *,
        seed: int,
        shape: tuple[int, ...],
        solver: Any,
        grid: np.ndarray,
        cond: PyTree,
        batch: int,
        devices: Sequence[Any],
    ):
        """`batch` images on each of `devices`; `cond` is the condition of one image or more, for its structure.

        Raises JAX's error where the compiler already finds that memory does not suffice.
        """
        began = time.perf_counter()
        self.batch, self.size = batch, batch * len(devices)
        mesh = Mesh(np.asarray(devices), ("image",), axis_types=(AxisType.Auto,))
        everywhere, self._spread = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("image",)))
        solve = on_rows(solver, grid)
        self.calls = solve.calls

        arrays, rest = eqx.partition((solve, denoise, key_of(seed)), eqx.is_array)
        # On every device once, instead of with each call.
        self._fixed = eqx.combine(jax.device_put(arrays, everywhere), rest)
        self._kind = (mesh if len(devices) > 1 else None, tuple(shape), jnp.dtype(jnp.float32))
        example = jax.tree.map(lambda leaf: np.resize(leaf, (self.size, *leaf.shape[1:])), cond)
        self._run: Any = program.lower(*self._fixed, self._images(0, example), *self._kind).compile()
        self.bytes = self._bytes_needed(shape)
        self.compile_seconds = time.perf_counter() - began

    def __call__(self, first: int, cond: PyTree) -> tuple[jax.Array, jax.Array]:
        """`cond`: NumPy leaves with leading axis `size`."""
        solved, finite = self._run(*self._fixed, self._images(first, cond), *self._kind)
        return solved.image, finite

    def _images(self, first: int, cond: PyTree) -> tuple[jax.Array, PyTree, None]:
        indices = np.arange(first, first + self.size, dtype=np.int32)
        return (*jax.device_put((indices, cond), self._spread), None)

    def _bytes_needed(self, shape: tuple[int, ...]) -> int:
        """On each device besides what is there already: the compiler's own account, and one more result in flight."""
        analysis = self._run.compiled.memory_analysis()
        result = 4 * self.batch * math.prod(shape)
        if analysis is None:
            return 2 * result
        return analysis.temp_size_in_bytes + 2 * max(analysis.output_size_in_bytes, result)
