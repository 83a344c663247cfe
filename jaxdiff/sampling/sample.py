"""`sample`: many images, in batches of one compiled program, over one device or a mesh."""

import math
from typing import Any, Literal

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from jaxdiff.denoiser import Denoiser
from jaxdiff.guidance.posterior.measurement import AbstractMeasurement
from jaxdiff.guidance.posterior.misfit import LARGEST, Misfit, misfit
from jaxdiff.process.gaussian import namespace, on_host, step_noise
from jaxdiff.representation import value
from jaxdiff.sampling import carried
from jaxdiff.sampling.adaptive import Adaptive
from jaxdiff.sampling.adjoint import of_inputs
from jaxdiff.sampling.arguments import check_counts, check_kept, check_leading, check_solver, check_span, checked_grid
from jaxdiff.sampling.program import image_axes, image_devices, program
from jaxdiff.sampling.solve import NoiseSource, on_rows
from jaxdiff.seeds import check_key
from jaxdiff.solvers.base import RowSolver
from jaxdiff.solvers.stepped import is_stochastic

DEFAULT_BATCH = 64


class Samples(eqx.Module):
    """What `sample` returns."""

    images: Float[Array | np.ndarray, "num *shape"]
    """Model units; of `Model.sample` those of the data."""
    nfe: int | np.ndarray
    """Denoiser calls per image: a number, or (num,) for adaptive runs."""
    finite: Bool[Array, " num"]
    """Whether every value of the image is finite."""
    batch_nfe: int | np.ndarray
    """Denoiser calls that the image's batch took: all of a batch pay for its slowest."""
    trajectory: Float[Array, "num k *shape"] | None = None
    """States after every `trajectory`-th step, then the result if it is not among them; None unless asked for."""
    x0: Float[Array | np.ndarray, "num k *shape"] | None = None
    """D(x, λ) of the steps that led to `trajectory`, at the states that these left; None unless asked for."""
    measurement: AbstractMeasurement | None = None
    """What the denoiser looked at, where it is a method of posterior sampling (has a `measurement`)."""
    normal: Float[Array | np.ndarray, "num *shape"] | None = None
    """The images in model units, where they are in those of the data."""

    def __repr__(self) -> str:
        """Shapes and ends, in a few lines."""
        optional = {name: getattr(self, name) for name in ("trajectory", "x0", "measurement")}
        wrong = np.flatnonzero(~np.asarray(self.finite))
        lines = [
            f"images: {value(self.images)}",
            f"nfe: {value(self.nfe)}",
            "finite: all"
            if not len(wrong)
            else f"finite: all but {len(wrong)} of {len(self.images)}, first {wrong[0]}",
            *(f"{name}: {value(what)}" for name, what in optional.items() if what is not None),
        ]
        return "\n  ".join(["Samples", *lines])

    @property
    def misfit(self) -> Misfit | None:
        """How much of the measurement each image leaves unexplained; None without one. Computed when asked for."""
        images = self.images if self.normal is None else self.normal
        return None if self.measurement is None else misfit(self.measurement, images)

    @property
    def diverged(self) -> Bool[np.ndarray, " num"]:
        """Which images are not finite, or finite and wrong.

        With a measurement that is what `Misfit.diverged` says; without one, that a value is more than 30 in model units,
        standard deviations of the training data, away from 0.
        """
        wrong, left = ~np.asarray(self.finite), self.misfit
        if left is not None:
            return wrong | left.diverged
        images = np.asarray(self.images if self.normal is None else self.normal)
        return wrong | ~(np.abs(images.reshape(len(images), -1)).max(axis=1) <= LARGEST)


def sample(
    key: PRNGKeyArray,
    denoise: Denoiser,
    *,
    shape: tuple[int, ...],
    num: int,
    solver: RowSolver | diffrax.AbstractSolver,
    grid: Float[np.ndarray, " n"] | None = None,
    cond: PyTree = None,
    start: Float[Array | np.ndarray, "num *shape"] | None = None,
    batch: int | None = None,
    first: int = 0,
    mesh: Mesh | None = None,
    final: Literal["denoise", "state"] = "denoise",
    trajectory: int | None = None,
    keep_x0: bool = False,
    rows: int | None = None,
    adjoint: diffrax.AbstractAdjoint | None = None,
    controller: diffrax.AbstractStepSizeController | None = None,
    eta: float = 0.0,
    noise: NoiseSource = step_noise,
) -> Samples:
    """`num` images of `shape` (*spatial, channels) in model units.

    It may be called inside `jax.jit`, `jax.vmap`, `jax.grad`, `jax.jvp`, `jax.lax.map` and their like: all numbers may be
    traced, grid, η and other numbers of solver, controller and denoiser among them. What is traced is not checked, and
    coefficients of a traced grid or η are computed by the same formulas in the precision of the trace: in float32 within
    1e-5 of the float64 table for steps h ≥ 0.05 (without that trace they are always of float64). That is of fixed grids:
    with `controller` rounding decides whether a step is accepted where its error is next to the tolerance, and from there
    on other steps are taken, so that two programs of one run agree to the controller's tolerance and no further.
    Inside `jax.shard_map` of your own it needs `check_vma=False`, since diffrax's loops do not type-check under varying
    manual axes; `mesh=` does that by itself.

    Args:
        key: image i depends on `fold_in(key, first + i)` and nothing else: at equal `batch` it is bitwise the same for any
            num, number of devices and batch mates.
        denoise: a `Denoiser`; an `eqx.Module` with array leaves is not traced again for new values.
        shape: (*spatial, channels) of one image.
        num: of images.
        solver: one of `jaxdiff.solvers`, or an explicit diffrax solver, which takes one step for each grid interval or,
            with `controller` (such as `diffrax.PIDController(rtol=1e-3, atol=1e-3)`), steps of its own between the ends.
        grid: n rising values of λ (`jaxdiff.process.grids`), one call each for a solver of one evaluation; may be left
            out for a solver that brings its own (`Tuned`).
        cond: condition pytree with leading axis `num`, or None.
        start: states at grid[0] with leading axis `num`, or None for noise.
        batch: images in a program on each device (default: at most 64); the last program is padded.
        first: number of the first image.
        mesh: devices to spread over; images are sharded over all its axes, and nothing is exchanged. An axis "window" has the
            same images on all its devices, for denoisers that share their work (`windowed(axis="window")`).
        final: "denoise" returns D at the end of the grid, "state" x itself.
        trajectory: keep every `trajectory`-th state.
        keep_x0: with it, D at the state that each of these steps left (its first call): what the run took for the image
            there. With `final="denoise"` the last is the result. For solvers written as `jd.Solver`.
        rows: pad the table of steps to this many, of which only the run's own are walked: grids of any length up to it share
            one program, with the images of unpadded ones. A step is a row: one for each value of the grid, or as many as the
            solver makes of it (`EDMHeun` two). It excludes `trajectory`.
        adjoint: diffrax's. Default: on a grid, both modes of differentiation, one more call of the denoiser for each, and a
            state for each row in memory (`RecursiveCheckpointAdjoint` keeps fewer and calls more often); with `controller` or
            `rows` `RecursiveCheckpointAdjoint`, or `ForwardMode` under `jax.jvp` and `jax.jacfwd`. A program that was traced
            before shows no tangents: for `jax.jvp(jax.jit(f), …)` with these JAX says "can't apply forward-mode
            differentiation (jvp) to a custom_vjp function" unless `adjoint=diffrax.ForwardMode()`.
        controller: of step sizes, for diffrax's solvers.
        eta: (★)'s η for diffrax's own solvers, 0 the ODE and 1 the SDE; jaxdiff's solvers carry their own.
        noise: source of the steps' noise, for tests that share a Brownian path.

    Returns:
        Images (num, *shape), their cost, and which are finite; of a denoiser with a `measurement`, also which diverged.

    Raises:
        ValueError: on shapes, grids or options that do not fit, before anything is traced.
    """
    check_key(key)
    grid = checked_grid(getattr(solver, "grid", None) if grid is None else grid)
    check_counts(num=num, batch=batch, first=first, trajectory=trajectory, rows=rows)
    check_solver(solver, shape=shape, controller=controller, eta=eta)
    check_span(denoise, solver)
    check_kept(solver, final=final, trajectory=trajectory, keep_x0=keep_x0, fixed=controller is None, rows=rows)
    carried.check_memory(denoise, solver, controller)
    if mesh is not None:  # with automatic axes, so that any number of images can be cut from what comes back
        mesh = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))
    devices = image_devices(mesh)
    batch = batch or min(DEFAULT_BATCH, math.ceil(num / devices))
    cond, start = jax.tree.map(_where_it_is, (cond, start))
    dtype = jnp.promote_types(jnp.float32, jnp.result_type(float if start is None else start))
    check_leading("start", start, num, shape)
    start = None if start is None else start.astype(dtype)
    check_leading("cond", cond, num)

    if controller is not None or rows is not None:
        adjoint = of_inputs(denoise, cond, start, grid, eta, solver, controller) if adjoint is None else adjoint
    if controller is not None:
        assert adjoint is not None
        ends, etas = namespace(grid).stack([grid[0], grid[-1]]), on_host(eta)
        solve: Any = Adaptive(
            solver,
            controller,
            ends=ends,
            eta=etas,
            final=final,
            sde=is_stochastic(eta),
            max_steps=4096,
            adjoint=adjoint,
        )
    else:
        solve = on_rows(
            solver,
            grid,
            final=final,
            trajectory=trajectory,
            adjoint=adjoint,
            noise=noise,
            eta=eta,
            keep_x0=keep_x0,
            capacity=rows,
        )

    parts, size = [], batch * devices
    for low in range(0, num, size):
        # The last program is padded: its surplus images have keys of their own and the last image's condition.
        indices = np.arange(low, low + size)
        own = np.minimum(indices, num - 1)
        cut = (cond, start) if size == num else jax.tree.map(lambda leaf, own=own: leaf[own], (cond, start))
        part: Any = (first + indices, *cut)
        if mesh is not None:
            part = jax.device_put(part, NamedSharding(mesh, PartitionSpec(image_axes(mesh))))
        result = program(solve, denoise, key, part, mesh, tuple(shape), dtype)
        unpadded = min(size, num - low)
        parts.append(
            result if unpadded == size else jax.tree.map(lambda leaf, unpadded=unpadded: leaf[:unpadded], result)
        )
    solved, finite = parts[0] if len(parts) == 1 else jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
    if controller is None:
        nfe: Any = int(solve.calls)
        batch_nfe = nfe
    else:
        nfe = solved.calls if isinstance(solved.calls, Tracer) else np.asarray(solved.calls)
        groups = np.arange(num) // batch
        batch_nfe = namespace(nfe).stack([nfe[groups == group].max() for group in range(groups[-1] + 1)])[groups]
    measurement = getattr(denoise, "measurement", None)
    of_end = measurement if isinstance(measurement, AbstractMeasurement) and final == "denoise" else None
    return Samples(
        solved.image,
        nfe,
        finite=finite,
        batch_nfe=batch_nfe,
        trajectory=solved.trajectory,
        x0=solved.x0,
        measurement=of_end,
    )


def _where_it_is(leaf):
    """JAX's arrays stay on their device; all else is cut into batches on the host, where nothing is compiled for it."""
    return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
