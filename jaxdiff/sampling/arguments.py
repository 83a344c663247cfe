"""What `sample` refuses of its arguments, before anything is traced."""

import warnings
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdiff.denoiser import Bound, Denoiser
from jaxdiff.nn.condition import size_of
from jaxdiff.process.gaussian import on_host
from jaxdiff.solvers.base import RowSolver, Solver, checked_eta
from jaxdiff.solvers.stepped import check_noise, cost, is_stochastic


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


def check_counts(*, num, batch, first, trajectory, rows) -> None:
    """Raises `ValueError` for numbers that count nothing; `first` may be traced."""
    numbers = dict(num=num, batch=batch, first=first, trajectory=trajectory, rows=rows)
    for name, number in numbers.items():
        if number is not None and not isinstance(number, int | np.integer | Tracer):
            raise ValueError(f"got {name}={number!r}; expected a whole number; to fix: {name}=int({number!r})")
    if num < 1 or (batch is not None and batch < 1):
        raise ValueError(f"got num={num}, batch={batch}; expected at least 1 of each")
    if not isinstance(first, Tracer) and not 0 <= first <= 2**32 - num:
        raise ValueError(
            f"got first={first}, num={num}; expected images 0 to 2**32 - 1, which have noise of their own; to fix: another "
            "key"
        )


def check_solver(solver, *, shape, controller, eta) -> None:
    """Raises `ValueError` for a solver that does not run on images of `shape`, with this controller and η."""
    if len(shape) < 1 or any(int(size) < 1 for size in shape):
        raise ValueError(f"got shape={shape}; expected (*spatial, channels) with every size at least 1")
    checked_eta(eta)
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


def check_span(denoise: Denoiser, solver: Any) -> None:
    """Raises `ValueError` for a denoiser that cannot be asked for means over steps, where the solver does (`reads_span`)."""
    if not getattr(solver, "reads_span", False):
        return
    name = type(solver).__name__
    if getattr(denoise, "measurement", None) is not None:
        raise ValueError(
            f"got {name} with {type(denoise).__name__}; expected a solver that asks for D, E[x0 | x], from which methods of "
            "posterior sampling tell how the image fits the measurement: a mean over a step does not tell it; to fix: "
            "jd.DPMpp(eta=1)"
        )
    inner: Any = denoise
    while not isinstance(inner, Bound) and hasattr(inner, "denoise"):
        if getattr(inner, "extrapolates", False):
            warnings.warn(
                f"got {type(inner).__name__} with {name}: guidance of means over steps is near to that of the flow for short "
                "steps only; to fix: a network that has learned it (MeanDenoising(guidance=...)), or jd.DPMpp(2)",
                stacklevel=3,
            )
        inner = inner.denoise
    if isinstance(inner, Bound) and not size_of(inner.network, "reads_span"):
        raise ValueError(
            f"got {name} for a {type(inner.network).__name__} that is not told how far a step leads; expected one with "
            "reads_span=True, trained by jaxdiff.training.mean_denoising.MeanDenoising; to fix: jd.DPMpp(2), or train it so"
        )


def check_kept(solver, *, final, trajectory, keep_x0, fixed, rows) -> None:
    """Raises `ValueError` for results that this run does not have; fixed: whether it goes along a grid."""
    if final not in ("denoise", "state"):
        raise ValueError(f"got final={final!r}; expected 'denoise' or 'state'")
    if trajectory is not None and (trajectory < 1 or not fixed):
        raise ValueError(
            f"got trajectory={trajectory}; expected a stride of at least 1, on a fixed grid; to fix: leave out controller"
        )
    if keep_x0 and (trajectory is None or not isinstance(solver, Solver)):
        raise ValueError(
            f"got keep_x0 with trajectory={trajectory} and {type(solver).__name__}; expected a stride, and a jd.Solver, "
            "whose calls of D are seen; to fix: trajectory=1, jd.DPMpp(2)"
        )
    if rows is not None and (trajectory is not None or not fixed):
        other = "a controller" if trajectory is None else f"trajectory={trajectory}"
        raise ValueError(
            f"got rows={rows} with {other}; expected a fixed grid of which the result alone is kept; to fix: leave out rows"
        )


def check_leading(name: str, tree, num: int, shape: tuple[int, ...] | None = None) -> None:
    """Raises `ValueError` unless every leaf has `num` images, and (of a state) their `shape`."""
    for leaf in jax.tree.leaves(tree):
        got = np.shape(leaf)
        if not got or got[0] != num or (shape is not None and got != (num, *shape)):
            expected = f"({num}, …)" if shape is None else f"{(num, *shape)}"
            raise ValueError(
                f"got {name} with a leaf of shape {got}; expected {expected}: one for each of num={num} images"
            )
