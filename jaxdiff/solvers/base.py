"""The base of every solver: an update formula over rows of a host table, driven by `diffrax.diffeqsolve`.

diffrax's time is the row index 0 … rows, with constant steps of 1. λ, α, σ and a solver's own weights are rows of a
table made on the host in float64, so that nothing is computed from λ on the device, changing a grid or a weight
recompiles nothing, and the clean end (λ = ∞) is one more row.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from jaxdiff.numbers import as_leaves
from jaxdiff.process.gaussian import alpha, namespace, on_host, sigma
from jaxdiff.representation import representation


class Point(NamedTuple):
    """A place on the way: half log-SNR and the coefficients of x = α x0 + σ ε there."""

    lam: Any
    alpha: Any
    sigma: Any
    weights: PyTree = None
    """What the solver tabulated for the step that leaves this point (`Solver.weights`), or None."""

    @classmethod
    def of(cls, lam) -> "Point":
        """The point at λ, in float64 unless it is traced; an array of λ gives rows."""
        lam = on_host(lam)
        return cls(lam, alpha(lam), sigma(lam))


class Rows(NamedTuple):
    """The table of a run: row k leads from `at` to `to`; every leaf has the rows as leading axis."""

    at: Point
    to: Point
    last: Any
    """True in the row whose denoiser call is the result (`final="denoise"`)."""


class SolveArgs(NamedTuple):
    """What diffrax hands to the solver as `args`: one image's denoiser, the table, noise by row index, the image's key, and
    how many rows of the table the run has."""

    denoise: Callable[..., Array]
    rows: Rows
    noise: Callable[[Array], Array]
    key: Array
    steps: Any


def row(run: SolveArgs, k) -> Rows:
    """Row k of the table."""
    return jax.tree.map(lambda leaf: leaf[k], run.rows)


def drift(k, x, run: SolveArgs):
    """(★) at η = 0 in λ, at row k: what diffrax may ask of the equation itself."""
    at = row(run, jnp.asarray(k, jnp.int32)).at
    return at.alpha * run.denoise(x, at.lam) - at.alpha**2 * x


class RowSolver(diffrax.AbstractSolver):
    """What the rows need to know of any solver that runs along them."""

    # Without annotations, which would make them dataclass fields, whose defaults hide what a subclass's body says.
    evaluations = 1
    ends_itself = False  # True: the update of the last row is the result of `final="denoise"`, not its denoiser call
    last_step = 1e-3  # length in λ of the row whose denoiser call is the result, so that no formula meets h = 0
    reads_span = False  # True: the denoiser is asked for means over steps, `denoise(x, lam, span=…)`
    if TYPE_CHECKING:
        order: Any
    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    __repr__ = representation

    def __check_init__(self):
        as_leaves(self)
        if callable(self.order):  # diffrax's method, which the number replaces
            raise ValueError(
                f"got {type(self).__name__} without an order; expected a number; to fix: write `order = 1` in the class"
            )
        if self.ends_itself and self.evaluations != 1:
            raise ValueError(
                f"got {type(self).__name__} with ends_itself and evaluations={self.evaluations}; expected evaluations=1 of "
                "a solver whose last update is the result; to fix: leave out ends_itself"
            )

    @property
    def keeps_history(self) -> bool:
        """Whether a step needs the steps before it, so that rows can neither be left out nor taken again."""
        return True

    @property
    def calls_after(self) -> bool:
        """Whether the result of `final="denoise"` is a call after all rows; else it is the call of one more row."""
        return self.evaluations > 1

    @property
    def convergence_order(self) -> int:
        """Order of the global error of the ODE in the step, whatever the spacing; `check_solver` holds the solver to it."""
        return self.order

    @property
    def uniform_order(self) -> int:
        """That on grids of equal steps in λ, for weights that are made for these; `convergence_order` unless it is more."""
        return self.convergence_order

    @property
    def kernel(self) -> "RowSolver":
        """What runs along the table: solvers that share one share the compiled program."""
        return self

    def nodes(self, grid: Float[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        """λ where each row starts and where it leads; default: from each value of the grid to the next."""
        return grid[:-1], grid[1:]

    def weights(self, at: Point, to: Point) -> PyTree:
        """The solver's own coefficients, float64 on the host, from points whose fields are arrays of all rows.

        With a traced grid or field (`jax.jit`, `jax.grad` over η) they are traced as well, where the formulas are written
        with the functions of `process.gaussian.namespace(…)`.
        """
        return None

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raises `ValueError`, or warns, where images of this shape are too small for the method; `sample` asks each time."""

    def result(self, x0: Float[Array, " *shape"]) -> Float[Array, " *shape"]:
        """What is made of the last denoiser call, which is the result: itself."""
        return x0

    def error_order(self, terms):
        return None

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)


class Solver(RowSolver):
    """A solver of (★), written as its update formula.

    A subclass sets `order` and writes `update`; see `solvers/ddim.py`. It may also set

    * `evaluations`: denoiser calls in one update; `convergence_order`, where it is not `order`;
    * `stochastic`: whether `update` is given noise, N(0, I) of x's shape, else None; `noises`: how many, stacked from 2 on;
    * `memory(x)`: the first value of what `update` carries along, arrays of fixed shape;
    * `keeps_history`: whether a step needs the steps before it; default: whether the class has a `memory`;
    * `ends_itself`: whether the update of the last row, not its denoiser call, is the result;
    * `reads_span`: whether it asks for the mean of D over a step, `denoise(x, lam, span=…)`; see `solvers/mean_flow.py`;
    * `exponential`: that a step is exact where D is constant, as (3) of process/gaussian.py; the conformance kit asks;
    * `nodes(grid)`: the rows, if not one for each pair of neighbours in the grid;
    * `weights(at, to)`: arrays with one row a step, found as `at.weights` in `update`.

    Number fields (`strength: float = 1.0`) are array leaves of every object, so that another value is no new program; inside
    `update` they are traced. Integers, booleans and `eqx.field(static=True)` are part of the program.
    """

    stochastic = False
    noises = 1
    exponential = False

    @abstractmethod
    def update(
        self,
        denoise: Callable[..., Array],
        x: Float[Array, " *shape"],
        at: Point,
        to: Point,
        noise: Float[Array, " *shape"] | None,
        memory: PyTree,
    ) -> tuple[Float[Array, " *shape"], PyTree]:
        """One step: x at `to` from x at `at`.

        Args:
            denoise: `denoise(x, lam)` gives D for this image's condition; called `evaluations` times.
            x: (*shape), one image.
            at: λ, α, σ where x is, and what `weights` tabulated for the step.
            to: λ, α, σ of the result.
            noise: N(0, I) of x's shape for a stochastic solver (stacked where `noises` is above 1), else None.
            memory: what the step before returned; at first `self.memory(x)`.

        Returns:
            x at `to`, and the memory of the next step.
        """

    def memory(self, x: Float[Array, " *shape"]) -> PyTree:
        """Memory before the first step."""
        return None

    @property
    def keeps_history(self) -> bool:
        return type(self).memory is not Solver.memory

    def init(self, terms, t0, t1, y0, args):
        return self.memory(y0)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        k = jnp.round(t0).astype(jnp.int32)
        at, to, last = row(args, k)
        denoise, called = recorded(lambda x, lam, **span: args.denoise(x, jnp.asarray(lam, at.lam.dtype), **span))
        noise = self._noise(k, args) if self.stochastic else None
        y1, memory = self.update(denoise, y0, at, to, noise, solver_state)
        if self.evaluations == 1:
            if len(called) != 1:
                raise ValueError(
                    f"got {len(called)} denoiser calls in one update of {type(self).__name__}; expected the declared "
                    "evaluations = 1; to fix: set `evaluations` on the class to the number of calls"
                )
            y1 = jnp.where(last, self.result(called[0]), y1)
        y1 = y1.astype(y0.dtype)
        return y1, None, dict(y0=y0, y1=y1), memory, diffrax.RESULTS.successful

    def _noise(self, k: Array, run: SolveArgs) -> Array:
        if self.noises == 1:
            return run.noise(k)
        return jnp.stack([run.noise(k + j * run.steps) for j in range(self.noises)])


def recorded(denoise: Callable) -> tuple[Callable, list[Array]]:
    """`denoise`, and the list in which it leaves all it returns."""
    called = []

    def recording(x, lam, **span):
        called.append(denoise(x, lam, **span))
        return called[-1]

    return recording, called


def tabulate(solver: RowSolver, grid: Float[np.ndarray, " n"], final: str = "denoise") -> Rows:
    """The table of a run over `grid`, float64 on the host, or traced where the grid or the solver's numbers are.

    final: "denoise" adds the row whose denoiser call is the result, for solvers of one evaluation (others make their
    last call after the loop); "state" ends at the grid's last value.
    """
    start, end = (on_host(lam) for lam in solver.nodes(grid))
    xp = namespace(start, end)
    last = np.zeros(len(start), bool)
    if final == "denoise" and not solver.calls_after:
        # Mostly, the update of this row is not used.
        start, end = xp.append(start, grid[-1]), xp.append(end, grid[-1] + solver.last_step)
        last = np.append(last, not solver.ends_itself)
    at, to = Point.of(start), Point.of(end)
    return Rows(at._replace(weights=solver.weights(at, to)), to, last)


def eta_leaf(value) -> Any:
    """Converter of η: an array leaf. Raises `ValueError` for what is negative or not finite, unless it is traced."""
    checked_eta(value)
    return on_host(value)


def checked_eta(value, name: str = "eta") -> None:
    """Raises `ValueError` unless η is finite and not negative; what is traced, or no number, passes."""
    if isinstance(value, Tracer) or not np.issubdtype(np.asarray(value).dtype, np.number):
        return
    if not np.all(np.isfinite(value) & (np.asarray(value) >= 0)):
        raise ValueError(
            f"got {name}={value}; expected a finite number, 0 or more; to fix: 0 for the ODE, 1 for the SDE"
        )


def array_leaf(value) -> Any:
    """Converter of number fields: an array leaf of one type, so that another value is no new trace."""
    return on_host(value)
