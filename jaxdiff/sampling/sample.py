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
from jaxdiff.sampling import memory
from jaxdiff.sampling.adjoint import of_inputs
from jaxdiff.sampling.program import image_axes, image_devices, program
from jaxdiff.sampling.solve import Adaptive, NoiseSource, on_rows
from jaxdiff.solvers.base import RowSolver, checked_eta
from jaxdiff.solvers.stepped import check_noise, cost, is_stochastic

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
    measurement: AbstractMeasurement | None = None
    """What the denoiser looked at, where it is a method of posterior sampling (has a `measurement`)."""
    normal: Float[Array | np.ndarray, "num *shape"] | None = None
    """The images in model units, where they are in those of the data."""

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
        adjoint: diffrax's. Default: on a grid, both modes of differentiation, one more call of the denoiser for each, and a
            state for each row in memory (`RecursiveCheckpointAdjoint` keeps fewer and calls more often); with `controller`
            `RecursiveCheckpointAdjoint`, or `ForwardMode` under `jax.jvp` and `jax.jacfwd`. A program that was traced before
            shows no tangents: for `jax.jvp(jax.jit(f), …)` with `controller` JAX says "can't apply forward-mode
            differentiation (jvp) to a custom_vjp function" unless `adjoint=diffrax.ForwardMode()`.
        controller: of step sizes, for diffrax's solvers.
        eta: (★)'s η for diffrax's own solvers, 0 the ODE and 1 the SDE; jaxdiff's solvers carry their own.
        noise: source of the steps' noise, for tests that share a Brownian path.

    Returns:
        Images (num, *shape), their cost, and which are finite; of a denoiser with a `measurement`, also which diverged.

    Raises:
        ValueError: on shapes, grids or options that do not fit, before anything is traced.
    """
    grid = checked_grid(getattr(solver, "grid", None) if grid is None else grid)
    _check_key(key)
    _check(shape, num, batch, first, final, trajectory, controller, solver, eta)
    memory.check(denoise, solver, controller)
    if mesh is not None:  # with automatic axes, so that any number of images can be cut from what comes back
        mesh = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))
    devices = image_devices(mesh)
    batch = batch or min(DEFAULT_BATCH, math.ceil(num / devices))
    cond, start = jax.tree.map(_where_it_is, (cond, start))
    dtype = jnp.promote_types(jnp.float32, jnp.result_type(float if start is None else start))
    _check_leading("start", start, num, shape)
    start = None if start is None else start.astype(dtype)
    _check_leading("cond", cond, num)

    if controller is not None:
        adjoint = of_inputs(denoise, cond, start, grid, eta, solver, controller) if adjoint is None else adjoint
        ends, etas = namespace(grid).stack([grid[0], grid[-1]]), on_host(eta)
        solve: Any = Adaptive(solver, controller, ends, etas, final, is_stochastic(eta), 4096, adjoint)
    else:
        solve = on_rows(solver, grid, final, trajectory, adjoint, noise, eta)

    parts, size = [], batch * devices
    for low in range(0, num, size):
        # The last program is padded: its surplus images have keys of their own and the last image's condition.
        indices = np.arange(low, low + size)
        rows = np.minimum(indices, num - 1)
        cut = (cond, start) if size == num else jax.tree.map(lambda leaf, rows=rows: leaf[rows], (cond, start))
        part: Any = (first + indices, *cut)
        if mesh is not None:
            part = jax.device_put(part, NamedSharding(mesh, PartitionSpec(image_axes(mesh))))
        result = program(solve, denoise, key, part, mesh, tuple(shape), dtype)
        kept = min(size, num - low)
        parts.append(result if kept == size else jax.tree.map(lambda leaf, kept=kept: leaf[:kept], result))
    solved, finite = parts[0] if len(parts) == 1 else jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
    if controller is None:
        nfe: Any = solve.calls
        batch_nfe = nfe
    else:
        nfe = solved.calls if isinstance(solved.calls, Tracer) else np.asarray(solved.calls)
        groups = np.arange(num) // batch
        batch_nfe = namespace(nfe).stack([nfe[groups == group].max() for group in range(groups[-1] + 1)])[groups]
    measurement = getattr(denoise, "measurement", None)
    seen = measurement if isinstance(measurement, AbstractMeasurement) else None
    return Samples(solved.image, nfe, finite, batch_nfe, solved.trajectory, seen)


def _where_it_is(leaf):
    """JAX's arrays stay on their device; all else is cut into batches on the host, where nothing is compiled for it."""
    return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)


def checked_grid(grid) -> np.ndarray:
    """`grid` in float64. Raises `ValueError` unless its values are finite and rise; a traced one stays as it is."""
    if grid is None:
        raise ValueError("got no grid; expected n rising values of λ; to fix: grid=jd.grids.uniform_lam(schedule, n)")
    grid = on_host(grid)
    if isinstance(grid, Tracer):
        right, shown = grid.ndim == 1 and len(grid) >= 1, str(grid)
    else:
        right = grid.ndim == 1 and len(grid) >= 1 and np.all(np.isfinite(grid)) and np.all(np.diff(grid) > 0)
        shown = np.array2string(grid, precision=4, threshold=8)
    if not right:
        raise ValueError(
            f"got a grid {shown}; expected finite values of λ, strictly rising from noise to data; to fix: build it with "
            "jd.grids, or sort it"
        )
    checked: Any = grid
    return checked.astype(jnp.promote_types(checked.dtype, jnp.float32))


def _check_key(key) -> None:
    dtype, shape = getattr(key, "dtype", None), np.shape(key)
    is_key = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    is_raw = dtype == np.uint32 and len(shape) == 1  # jax.random.PRNGKey
    if not (is_key or is_raw):
        shown = f"an array of shape {shape}, {dtype}" if dtype is not None else repr(key)
        raise ValueError(f"got key={shown}; expected one random key of JAX; to fix: jax.random.key(0)")


def _check_whole(**numbers) -> None:
    for name, number in numbers.items():
        if number is not None and not isinstance(number, int | np.integer | Tracer):
            raise ValueError(f"got {name}={number!r}; expected a whole number; to fix: {name}=int({number!r})")


def _check(shape, num, batch, first, final, trajectory, controller, solver, eta) -> None:
    if len(shape) < 1 or any(int(size) < 1 for size in shape):
        raise ValueError(f"got shape={shape}; expected (*spatial, channels) with every size at least 1")
    _check_whole(num=num, batch=batch, first=first, trajectory=trajectory)
    checked_eta(eta)
    if num < 1 or (batch is not None and batch < 1):
        raise ValueError(f"got num={num}, batch={batch}; expected at least 1 of each")
    if not isinstance(first, Tracer) and not 0 <= first <= 2**32 - num:
        raise ValueError(
            f"got first={first}, num={num}; expected images 0 to 2**32 - 1, which have noise of their own; to fix: another "
            "key"
        )
    if final not in ("denoise", "state"):
        raise ValueError(f"got final={final!r}; expected 'denoise' or 'state'")
    if trajectory is not None and (trajectory < 1 or controller is not None):
        raise ValueError(
            f"got trajectory={trajectory}; expected a stride of at least 1, on a fixed grid; to fix: leave out controller"
        )
    if not isinstance(solver, diffrax.AbstractSolver):
        raise ValueError(f"got solver={solver!r}; expected an object such as jd.DPMpp(order=2) or diffrax.Tsit5()")
    if isinstance(solver, RowSolver):
        solver.check_shape(tuple(shape))
        if controller is not None or is_stochastic(eta):
            raise ValueError(
                f"got {type(solver).__name__} with controller or eta; expected those with diffrax's own solvers only; "
                "to fix: leave them out, or set the solver's own eta"
            )
        return
    check_noise(solver, eta)
    if cost(solver) and controller is not None and not isinstance(solver, diffrax.AbstractAdaptiveSolver):
        raise ValueError(
            f"got {type(solver).__name__} with a controller, which estimates no error; expected an adaptive solver; to fix: "
            "use diffrax.Tsit5(), or diffrax.HalfSolver around it"
        )


def _check_leading(name: str, tree, num: int, shape: tuple[int, ...] | None = None) -> None:
    for leaf in jax.tree.leaves(tree):
        got = np.shape(leaf)
        if not got or got[0] != num or (shape is not None and got != (num, *shape)):
            expected = f"({num}, …)" if shape is None else f"{(num, *shape)}"
            raise ValueError(
                f"got {name} with a leaf of shape {got}; expected {expected}: one for each of num={num} images"
            )
