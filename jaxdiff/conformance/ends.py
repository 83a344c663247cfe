"""Both ends of the clock, the fewest grid values, and single precision."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.conformance import moments
from jaxdiff.conformance.march import call, march, silent
from jaxdiff.conformance.problems import IMAGE, UNIT, WIDE, WIDTH, GaussianProblem, uniform
from jaxdiff.conformance.report import Row
from jaxdiff.conformance.subject import Subject

GRIDS = ([-10.0], [10.0], [-10.0, 10.0], [9.9, 10.0], [-10.0, -9.999, 0.0])
FINE = np.linspace(-10.0, 10.0, 1000)
START = np.random.default_rng(0).normal(size=(4, *IMAGE.shape)).astype(np.float32)
REFERENCE = [-1.5, -1.0, -0.2, 0.5]
COARSE = [-3.0, -2.0, -1.0]
CLEAN = [-1.0, 1.0, 4.0, 10.0]
CLOSE, EXACT = 1e-4, 1e-9


def ends(subject: Subject) -> Row:
    """However few or uneven the steps: finite, and the result of "denoise" is D of the state at the last λ.

    Of what ends itself, where all estimates of x0 agree.
    """
    wrong, ends_itself = [], subject.rowed.ends_itself
    with jax.enable_x64(False):
        denoise = IMAGE.denoise
        for grid in GRIDS:
            image, state = (
                np.asarray(march(subject.rowed, denoise, grid, START, final)) for final in ("denoise", "state")
            )
            if not (np.isfinite(image).all() and np.isfinite(state).all()):
                wrong.append(f"not finite on {grid}")
            elif not ends_itself:
                off = np.abs(image - call(denoise, state, grid[-1])).max() / max(1.0, np.abs(state).max())
                if not off <= CLOSE:
                    wrong.append(f"{off:.1e} from D on {grid}")
            leads = subject.rowed.nodes(np.array(grid))[1]
            if len(grid) > 1 and (not len(leads) or leads[-1] != grid[-1]):
                wrong.append(f"no row leads to the end of {grid}")
    for name, off in _end_errors(subject).items():
        if not off <= (CLOSE if ends_itself else EXACT):
            wrong.append(f"{off:.1e} from D of {name} in float64")
    return Row.judged(
        "ends",
        not wrong,
        "; ".join(wrong) or f"finite and D on {len(GRIDS)} grids",
        "finite for λ from −10 to 10; 1, 2, 3 values",
        "coefficients overflow or cancel near λ = ±10, where α or σ is below 1e-4, or for a very short or long step: "
        "compute them in `weights`, in float64, with expm1 of h; rows that `nodes` returns must end at grid[-1]; the last "
        "call of the denoiser is the result: it takes x and λ of the row's `at`, not of its `to`; what is "
        "made of it (`result`, or the last update with `ends_itself`) is an estimate of x0 in model units, whatever its size",
    )


def _end_errors(subject: Subject) -> dict[str, float]:
    """Relative distances of the result of "denoise" from D of the result of "state", in float64, by the data.

    What ends itself may end elsewhere than at D, but not where there is one image only, nor at the clean end of the clock.
    """
    single = uniform(UNIT, WIDTH, 0.0)
    runs = {"one image": (single, COARSE), "unit data at the clean end": (UNIT, CLEAN)}
    if not subject.rowed.ends_itself:
        runs |= {"unit data": (UNIT, REFERENCE), "wide data": (WIDE, [lam - np.log(WIDTH) for lam in REFERENCE])}
    off = {}
    with jax.enable_x64(True):
        for name, (problem, grid) in runs.items():
            x = problem.states(grid[0], 4)
            image, state = (
                march(subject.rowed, problem.denoise, grid, x, final, noise=silent) for final in ("denoise", "state")
            )
            expected = np.asarray(call(problem.denoise, state, grid[-1]))
            off[f"{name}, λ {grid[0]:g} to {grid[-1]:g}"] = float(
                np.abs(image - expected).max() / max(1.0, np.abs(expected).max())
            )
    return off


def float32(subject: Subject) -> Row:
    """A thousand values from λ = −10 to 10 in float32, against float64 with the same noise.

    What is not affine in x (Langevin steps) follows the score (α D − x)/σ², of which float32 knows nothing near the clean
    end where data are smooth; it is compared on one image without any spread, whose score is of order 1/σ.
    """
    expected = f"≤ {CLOSE:.0e} from float64 over {len(FINE)} values"
    if subject.noisy and not subject.own:
        return Row("float32", "not checked", "diffrax draws other noise in float64", expected)
    bends = subject.noisy and not moments.is_affine(subject)
    problem = GaussianProblem(IMAGE.mean, 0.0 * IMAGE.cov) if bends else IMAGE
    off = {}
    for final in ("denoise", "state"):
        with jax.enable_x64(False):
            got = march(subject.rowed, problem.denoise, FINE, START, final)
            single = got.dtype == jnp.float32
        with jax.enable_x64(True):
            double = march(subject.rowed, problem.denoise, FINE, START.astype(np.float64), final)
            off[final] = float(np.abs(np.asarray(got) - np.asarray(double)).max()) if single else float("nan")
    return Row.judged(
        "float32",
        all(value <= CLOSE for value in off.values()),
        ", ".join(f"{value:.1e} ({final})" for final, value in off.items()) + (", one image" if bends else ""),
        expected,
        "digits are lost in single precision: compute coefficients in `weights` (float64, on the host) with expm1 and "
        "log_sigmoid, never 1 − α² or differences of large weights on the device",
    )
