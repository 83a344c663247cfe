"""diffrax's own explicit solvers on (★): along a grid, one step a row, or as diffrax drives them."""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax
import numpy as np
from jax.core import Tracer

from jaxdiff.process.gaussian import alpha, on_host
from jaxdiff.solvers.base import RowSolver, checked_eta, recorded, row


class Cost(NamedTuple):
    """Denoiser calls of a diffrax solver: in each step, and once a run (a first stage kept from step to step)."""

    step: int
    once: int


def cost(solver: diffrax.AbstractSolver, *, with_error: bool = True) -> Cost:
    """Denoiser calls of an explicit diffrax solver.

    with_error: whether the estimate of the error is asked for, as a step-size controller does. `HalfSolver` takes a step for
    it that along a grid nothing depends on, and that is then not in the program.

    Raises `ValueError` for implicit solvers (a dense Jacobian of an image) and for those whose calls are not known.
    """
    if isinstance(solver, diffrax.AbstractImplicitSolver):
        raise ValueError(
            f"got the implicit solver {type(solver).__name__}; expected an explicit one; to fix: use diffrax.Tsit5(): an "
            "implicit step needs a dense Jacobian of the whole image"
        )
    if isinstance(solver, diffrax.HalfSolver):
        step, once = cost(solver.solver, with_error=with_error)
        # The whole step and the first half each take the first stage.
        return Cost(3 * step, 2 * once) if with_error else Cost(2 * step, once)
    tableau = getattr(solver, "tableau", None)
    if isinstance(tableau, diffrax.ButcherTableau):
        return Cost(tableau.num_stages - 1, 1) if tableau.fsal else Cost(tableau.num_stages, 0)
    if isinstance(solver, diffrax.AbstractSRK):
        return Cost(len(solver.tableau.c) + 1, 0)
    if isinstance(solver, diffrax.ItoMilstein | diffrax.StratonovichMilstein):
        raise ValueError(
            f"got {type(solver).__name__}; expected a method for noise that does not depend on x, as that of (★); to fix: "
            "diffrax.Euler(), which is the same there, with eta=1.0"
        )
    if isinstance(solver, diffrax.Euler | diffrax.EulerHeun):
        return Cost(1, 0)
    raise ValueError(
        f"got {type(solver).__name__}, whose denoiser calls are not known; expected an explicit Runge-Kutta or stochastic "
        "Runge-Kutta solver of diffrax; to fix: wrap its formula in a jd.Solver with `evaluations`"
    )


def terms(denoise: Callable, eta, brownian: diffrax.AbstractBrownianPath | None) -> diffrax.AbstractTerm:
    """(★) as diffrax terms with λ as time: the ODE where `brownian` is None, else the SDE, whose noise is additive."""

    def drift(lam, x, args):
        a = alpha(jnp.asarray(lam))
        return ((1.0 + eta**2) * a * denoise(x, lam) - (a**2 + eta**2) * x).astype(x.dtype)

    if brownian is None:
        return diffrax.ODETerm(drift)

    def diffusion(lam, x, args):
        a = alpha(-jnp.asarray(lam))  # σ(λ) = α(−λ)
        return lineax.DiagonalLinearOperator(jnp.broadcast_to(jnp.sqrt(2.0) * eta * a, x.shape).astype(x.dtype))

    return diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(diffusion, brownian))


def check_noise(solver: diffrax.AbstractSolver, eta) -> None:
    """Raises `ValueError` for an η that is none, and for a method of SDEs alone at η = 0."""
    checked_eta(eta)
    inner = solver.solver if isinstance(solver, diffrax.HalfSolver) else solver
    if isinstance(inner, diffrax.AbstractSRK | diffrax.EulerHeun) and not is_stochastic(eta):
        raise ValueError(
            f"got {type(inner).__name__} with eta=0; expected eta above 0: it takes a step of an SDE; to fix: eta=1.0, or "
            "diffrax.Heun() for the ODE"
        )


def is_stochastic(eta) -> bool:
    """Whether (★) at `eta` is an SDE; of a traced η, which may be 0, it is solved as one."""
    return isinstance(eta, Tracer) or bool(eta != 0)


def _in_both_modes(solver: diffrax.AbstractSolver) -> diffrax.AbstractSolver:
    """With loops over the stages that forward and reverse mode go through."""
    if isinstance(solver, diffrax.HalfSolver):
        return diffrax.HalfSolver(_in_both_modes(solver.solver))
    if getattr(solver, "scan_kind", "") is not None:
        return solver
    kind = "bounded" if isinstance(solver, diffrax.AbstractRungeKutta) else "lax"
    return eqx.tree_at(lambda s: s.scan_kind, solver, kind, is_leaf=lambda leaf: leaf is None)


class Stepped(RowSolver):
    """A diffrax solver taking one of its steps from each grid value to the next, on the ODE (η = 0) or the SDE.

    `jd.sample` wraps diffrax's solvers in this when no step-size controller is given. Its noise comes from
    `diffrax.UnsafeBrownianPath` under the image's key, so that methods with Lévy areas work.
    """

    solver: diffrax.AbstractSolver
    eta: np.ndarray
    evaluations: int = eqx.field(static=True)
    sde: bool = eqx.field(static=True)
    order: int = eqx.field(static=True)

    def __init__(self, solver: diffrax.AbstractSolver, eta=0.0):
        check_noise(solver, eta)
        self.solver, self.eta = _in_both_modes(solver), on_host(eta)
        self.sde = is_stochastic(self.eta)
        self.evaluations = cost(solver, with_error=False).step
        self.order = solver.order(diffrax.ODETerm(lambda t, y, args: y)) or 1

    @property
    def calls_after(self) -> bool:
        """Stochastic Runge-Kutta methods call D in a loop of diffrax's, out of which nothing can be taken."""
        return self.evaluations > 1 or isinstance(self.solver, diffrax.AbstractSRK)

    def _terms(self, denoise, x, key):
        brownian = None
        if self.sde:
            like = jax.ShapeDtypeStruct(x.shape, x.dtype)
            brownian = diffrax.UnsafeBrownianPath(like, key, levy_area=diffrax.SpaceTimeLevyArea)
        return terms(denoise, jnp.asarray(self.eta, x.dtype), brownian)

    def init(self, terms, t0, t1, y0, args):
        at, to, _ = row(args, 0)
        return self.solver.init(self._terms(args.denoise, y0, args.key), at.lam, to.lam, y0, None)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        at, to, last = row(args, jnp.round(t0).astype(jnp.int32))
        denoise, called = recorded(args.denoise)
        t = self._terms(denoise, y0, args.key)
        y1, _, _, state, result = self.solver.step(t, at.lam, to.lam, y0, None, solver_state, False)
        if not self.calls_after:
            y1 = jnp.where(last, called[0], y1)
        return y1, None, dict(y0=y0, y1=y1), state, result
