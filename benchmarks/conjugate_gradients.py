"""The conjugate gradients of ΠGDM and MMPS as they are, and with lineax: exactness, seconds, derivatives.

    python -m benchmarks.conjugate_gradients

On a Gaussian prior the posterior's D is known in closed form, in float64: what each form of a method leaves of it, for
several numbers of iterations, as root mean square over images, and how far a derivative through it is from that of the same
function by differences. Seconds are medians of compiled batches of 8 with a UNet. docs/decisions.md says what was decided.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lineax
import numpy as np

import jaxdiff as jd
from benchmarks.clock import median_seconds
from benchmarks.command import command
from benchmarks.store import Store
from jaxdiff.analytic import Gaussian
from jaxdiff.guidance.posterior import MMPS, Measurement, PiGDM
from jaxdiff.guidance.posterior.jacobian import Spread
from jaxdiff.guidance.posterior.measurement import Linearised, unit_and_length
from jaxdiff.physics.operators import Diagonal
from jaxdiff.process.gaussian import alpha, sigma

SIDE, NOISE, LAM = 6, 0.3, 0.4
IMAGES = 16
ITERATIONS = (2, 30)
TIMED = 2
Form = Callable[[Any, Any, int], Callable]


def solved(apply: Callable, right: jax.Array, iterations: int, tolerance: float = 0.0) -> jax.Array:
    """`iterations` steps of lineax's conjugate gradients, or fewer where the tolerance is met before."""
    structure = jax.eval_shape(lambda: right)
    operator = lineax.FunctionLinearOperator(apply, structure, lineax.positive_semidefinite_tag)
    method = lineax.CG(rtol=tolerance, atol=0.0, stabilise_every=None, max_steps=iterations)
    return lineax.linear_solve(operator, right, method, throw=False).value


def mmps_lineax(denoise: Any, measurement: Any, iterations: int) -> Callable:
    """MMPS with lineax: (s² + A V Aᵀ) u = r, and one more gradient for V Aᵀ u."""

    def posterior(x, lam, cond=None):
        x0, pull = jax.vjp(lambda x: denoise(x, lam, cond), x)
        near = measurement.at(x0)
        spread = Spread(near, pull, jnp.asarray(lam, x.dtype))
        unit, size = unit_and_length(near.residual)
        u = solved(lambda u: near.noise**2 * u + spread.of(u)[1], unit, iterations)
        return x0 + near.bounded(size * spread.of(u)[0])

    return posterior


class LineaxLinearised(Linearised):
    """A measurement near an image whose `proximal` solves with lineax."""

    def proximal(self, variance):
        size = self.noise**2 + variance
        noise, share = self.noise**2 / size, variance / size
        unit, length = unit_and_length(self.operator.adjoint(self.residual))
        apply = lambda u: noise * u + share * self.operator.adjoint(self.operator(u))  # noqa: E731
        return share * length * solved(apply, unit, self.iterations, 1e-6)


class LineaxMeasurement(Measurement):
    """A measurement for ΠGDM with lineax."""

    def at(self, x0):
        return LineaxLinearised(*super().at(x0))


def pigdm(kind: type[Measurement]) -> Form:
    """ΠGDM, whose iterations are the measurement's."""
    return lambda denoise, measured, n: PiGDM(
        denoise, kind(measured.operator, measured.y, measured.noise, iterations=n)
    )


FORMS: dict[str, Form] = {
    "mmps": lambda denoise, measured, n: MMPS(denoise, measured, iterations=n),
    "mmps, lineax": mmps_lineax,
    "pigdm": pigdm(Measurement),
    "pigdm, lineax": pigdm(LineaxMeasurement),
}


class Problem:
    """A Gaussian prior of an exponential covariance, a diagonal operator, and what MMPS and ΠGDM come to without rounding."""

    def __init__(self):
        rng, size = np.random.default_rng(0), SIDE**2
        place = np.stack(np.meshgrid(*[np.arange(SIDE)] * 2), -1).reshape(size, 2)
        covariance = np.exp(-np.linalg.norm(place[:, None] - place[None], axis=-1) / 2)
        weights = rng.uniform(0.2, 1.0, size)
        a, s = float(alpha(jnp.float64(LAM))), float(sigma(jnp.float64(LAM)))
        self.x = rng.standard_normal((IMAGES, size))
        y = rng.standard_normal(size)
        shape = (SIDE, SIDE, 1)
        self.denoise = Gaussian(np.zeros(shape), covariance)
        self.measured = Measurement(Diagonal(weights.reshape(shape)), y.reshape(shape), NOISE)
        slope = a * covariance @ np.linalg.inv(a**2 * covariance + s**2 * np.eye(size))  # ∂D/∂x
        x0, spread, operator = self.x @ slope.T, s**2 / a * slope, np.diag(weights)
        white = s**2 / (a**2 + s**2)
        self.exact = {
            "mmps": self._corrected(x0, y, spread, spread, operator),
            "pigdm": self._corrected(x0, y, spread, white * np.eye(size), operator),
        }
        self.x = self.x.reshape(-1, *shape)

    @staticmethod
    def _corrected(x0, y, spread, believed, operator):
        solve = np.linalg.inv(NOISE**2 * np.eye(len(y)) + operator @ believed @ operator.T)
        return x0 + (y - x0 @ operator.T) @ (spread @ operator.T @ solve).T

    def error(self, name: str, iterations: int) -> float:
        """Root mean square of the difference from the closed form."""
        method = FORMS[name](self.denoise, self.measured, iterations)
        result = jax.jit(jax.vmap(lambda x: method(x, jnp.float64(LAM))))(self.x).reshape(IMAGES, -1)
        return float(np.sqrt(np.mean((np.asarray(result) - self.exact[name.partition(",")[0]]) ** 2)))

    def slope_errors(self, name: str, iterations: int) -> dict[str, float | str]:
        """Derivatives along a direction, forward and backward, against central differences of the same function."""
        method = FORMS[name](self.denoise, self.measured, iterations)
        value = jax.jit(lambda t: (method(self.x[0] + t * self.x[1], jnp.float64(LAM)) * self.x[2]).sum())
        step, zero = 1e-5, jnp.float64(0.0)
        numeric = float((value(step) - value(-step)) / (2 * step))
        errors = {}
        for kind, derivative in (
            ("forward", lambda: jax.jvp(value, (zero,), (jnp.ones_like(zero),))[1]),
            ("backward", lambda: jax.grad(value)(zero)),
        ):
            try:
                errors[kind] = rounded(abs(float(derivative()) - numeric) / abs(numeric))
            except Exception as error:  # what is refused is an entry of the table
                errors[kind] = type(error).__name__
        return errors


def seconds_of(name: str, iterations: int, repeats: int = 15) -> float:
    """Median of compiled calls on a batch."""
    shape, batch = (32, 32, 1), 8
    network = jd.UNet(width=16, multipliers=(1, 2), attention=(False, True), blocks=1, head_size=16, patch_size=2)
    denoise = jd.bind(network, jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, *shape)), jnp.zeros(1)))
    measured = Measurement(Diagonal(np.full(shape, 0.7, np.float32)), np.ones(shape, np.float32), NOISE)
    x = jax.random.normal(jax.random.key(1), (batch, *shape))
    program = jax.jit(jax.vmap(lambda x: FORMS[name](denoise, measured, iterations)(x, jnp.float32(LAM))))
    return round(median_seconds(lambda: program(x), repeats), 4)


def rounded(value: float) -> float:
    return float(f"{value:.2g}")


def main() -> None:
    store = Store("conjugate_gradients", ("lineax",))
    result: dict[str, Any] = {"machine": store.machine(), "noise": NOISE, "lam": LAM, "forms": {}}
    with jax.enable_x64(True):
        problem = Problem()
        for name in FORMS:
            errors = {n: rounded(problem.error(name, n)) for n in ITERATIONS}
            result["forms"][name] = {"error": errors, "slope_error": problem.slope_errors(name, TIMED)}
            print(name, result["forms"][name], flush=True)
    for name in FORMS:
        result["forms"][name]["seconds"] = seconds_of(name, TIMED)
        print(name, result["forms"][name]["seconds"], flush=True)
    store.write(result)


if __name__ == "__main__":
    command(main, __doc__)
