"""The program that `sample` runs: one batch of images on each device, compiled once."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, PRNGKeyArray, PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.remembering import Remembering
from jaxdiff.nn.condition import over
from jaxdiff.process.gaussian import start_noise
from jaxdiff.programs import Programs, split
from jaxdiff.sampling.adaptive import Adaptive
from jaxdiff.sampling.solve import OnRows, Solved


class Program:
    """A batch of images a device, and which are finite; all but shapes and functions are arguments: nothing retraces.

    Of programs for other shapes the newest are kept (`jaxdiff.programs.MOST`).

    `program(solve, denoise, key, images, mesh, shape, dtype)` dispatches and returns; `program.lower(...)` compiles ahead.
    images: (indices, cond, start), leading axis the batch of all devices; without start each begins from its own noise.

    Arrays and all else are told apart as by `eqx.filter_jit`, which would wait for each call to end (equinox 0.13, for its
    run-time errors): the next batch would be handed to a device that stands still.
    """

    def __call__(
        self,
        solve: OnRows | Adaptive,
        denoise: Denoiser,
        key: PRNGKeyArray,
        images: tuple[Any, PyTree, Any],
        mesh: Mesh | None,
        shape: tuple[int, ...],
        dtype: Any,
    ) -> tuple[Solved, Bool[Array, " batch"]]:
        arrays, functions = split((solve, denoise, key))
        return _programs(arrays, images, functions, mesh, tuple(shape), jnp.dtype(dtype))

    def lower(self, *arguments: Any) -> "Lowered":
        """The program for the arguments of a call, or others of their shapes, not yet compiled."""
        solve, denoise, key, images, mesh, shape, dtype = arguments
        arrays, functions = split((solve, denoise, key))
        return Lowered(_programs.lower(arrays, images, functions, mesh, tuple(shape), jnp.dtype(dtype)))


class Lowered(NamedTuple):
    """JAX's `lowered`, to be compiled."""

    lowered: jax.stages.Lowered

    def compile(self) -> "Compiled":
        return Compiled(self.lowered.compile())


class Compiled(NamedTuple):
    """JAX's `compiled`, called with the arguments of `program`."""

    compiled: jax.stages.Compiled

    def __call__(self, *arguments: Any) -> tuple[Solved, Bool[Array, " batch"]]:
        solve, denoise, key, images, *_ = arguments
        return self.compiled(split((solve, denoise, key))[0], images)


program = Program()

WINDOW = "window"
"""Axis of a mesh whose devices work on the same images."""


def image_axes(mesh: Mesh) -> tuple[str, ...]:
    """Axes of a mesh over which images are sharded."""
    return tuple(axis for axis in mesh.axis_names if axis != WINDOW)


def image_devices(mesh: Mesh | None) -> int:
    """Parts that images are sharded into."""
    return 1 if mesh is None else math.prod(mesh.shape[axis] for axis in image_axes(mesh))


def _sampler(arrays, images, functions, mesh, shape, dtype):
    leaves, tree = functions
    solve, denoise, key = jax.tree.unflatten(tree, leaves)
    remembers = isinstance(denoise, Remembering)

    # diffrax asks for the denoiser's shapes and maps its loop over the batch several times; as a program of its own the
    # network is traced once for all of them, and the compiler inlines it again.
    @jax.jit
    def called(weights, *inputs):
        bound = eqx.combine(weights, denoise)
        return bound.update(*inputs) if remembers else bound(*inputs)

    def chunk(images, arrays):
        solving, weights, keys = eqx.combine(arrays[0], solve), arrays[1], eqx.combine(arrays[2], key)

        def one(index, cond, x):
            image_key = jax.random.fold_in(keys, index)
            x = start_noise(image_key, shape, dtype) if x is None else x
            memory = eqx.combine(weights, denoise).memory if remembers else None

            def at(x, lam, *past, span=None):
                return called(weights, x, lam, cond if span is None else over(span, cond), *past)

            return solving(at, image_key, x, memory)

        if images[0].shape[0] == 1:
            # XLA's CPU backend reduces products of arrays with an axis of length 1 ten times slower: it is taken off.
            alone = one(*jax.tree.map(lambda leaf: leaf[0], images))
            return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], alone)
        return jax.vmap(one)(*images)

    if mesh is not None:
        spread = PartitionSpec(image_axes(mesh))
        # check_vma=False: diffrax's loops do not type-check under varying manual axes (jax 0.10).
        chunk = jax.shard_map(chunk, mesh=mesh, in_specs=(spread, PartitionSpec()), out_specs=spread, check_vma=False)
    solved = chunk(images, arrays)
    return solved, jnp.all(jnp.isfinite(solved.image.reshape(solved.image.shape[0], -1)), axis=1)


_programs = Programs(_sampler, static=(2, 3, 4, 5))
