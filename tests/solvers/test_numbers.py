"""Number fields of a person's own solver: written as plain Python, and no new program for another value."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import jaxdiff as jd
from jaxdiff.conformance.runs import traces
from jaxdiff.conformance.subject import Subject

GRID = np.linspace(-2.0, 2.0, 4)
traced = []


class Pulled(jd.Solver):
    """DDIM on D times `strength`, with numbers of all kinds."""

    order = 1
    strength: float = 1.0
    others: tuple[float, ...] = (0.0, 0.0)
    maybe: float | None = None
    repeats: int = 1
    words: str = "text"
    switch: bool = True

    def update(self, denoise, x, at, to, noise, memory):
        traced.append(1)
        x0 = self.strength * denoise(x, at.lam) + self.others[0] + (0.0 if self.maybe is None else self.maybe)
        return to.alpha * x0 + to.sigma / at.sigma * (x - at.alpha * x0), memory


def images(solver, **options):
    options = dict(shape=(2, 1), num=2, grid=GRID, start=np.ones((2, 2, 1), np.float32), solver=solver) | options
    return np.asarray(jd.sample(jax.random.key(0), half, **options).images)


def half(x, lam, cond=None):
    return 0.5 * x


def test_floats_are_leaves_and_structure_stays_structure():
    solver = Pulled(2, (0.5, np.float32(1.5)), 3.0, repeats=2)
    for value, expected in [(solver.strength, 2.0), (solver.others[1], 1.5), (solver.maybe, 3.0)]:
        assert isinstance(value, np.ndarray)
        assert value == expected
    assert [type(v) for v in (solver.repeats, solver.words, solver.switch)] == [int, str, bool]
    assert Pulled(0.5) == Pulled(0.5) != Pulled(0.6)
    assert Pulled().maybe is None

    class Fixed(Pulled):
        fixed: float = eqx.field(default=1.0, static=True)

    assert type(Fixed().fixed) is float


def test_other_numbers_run_the_same_program_and_do_what_they_say():
    images(Pulled(0.3))
    seen = len(traced)
    out = [images(Pulled(strength)) for strength in (1, 0.5, np.float64(2.0), jnp.float32(0.25))]
    assert len(traced) == seen
    np.testing.assert_allclose(out[0], images(jd.DDIM()), rtol=1e-6)
    images(Pulled(0.3, repeats=2))
    assert len(traced) > seen


def test_numbers_are_traced_and_differentiated():
    def mean(strength):
        options = dict(shape=(2, 1), num=1, grid=GRID, start=jnp.ones((1, 2, 1)), final="state")
        return jd.sample(jax.random.key(0), half, solver=Pulled(strength), **options).images.mean()

    value, slope = jax.jit(jax.value_and_grad(mean))(0.7)
    np.testing.assert_allclose(slope, (mean(0.71) - mean(0.69)) / 0.02, rtol=1e-3)
    np.testing.assert_allclose(value, mean(0.7), rtol=1e-6)


class GradientEstimation(jd.Solver):
    """DDIM with ε̂ extrapolated by γ (Permenter and Yuan 2023, arXiv 2306.04848), as a person writes it down."""

    order = 1
    gamma: float = 2.0

    def memory(self, x):
        return jnp.zeros_like(x), jnp.zeros((), bool)

    def update(self, denoise, x, at, to, noise, memory):
        before, begun = memory
        eps = (x - at.alpha * denoise(x, at.lam)) / at.sigma
        mixed = jnp.where(begun, self.gamma * eps + (1 - self.gamma) * before, eps)
        y = x / at.alpha + (to.sigma / to.alpha - at.sigma / at.alpha) * mixed
        return to.alpha * y, (eps, jnp.ones((), bool))


def test_gradient_estimation_from_outside_is_its_recursion_at_every_gamma_with_one_program():
    calls = []

    def counted(x, lam, cond=None):
        calls.append(1)
        return 0.5 * jnp.tanh(x)

    start = np.random.default_rng(0).normal(size=(2, 2, 1))
    for gamma in (2.0, 1.0, 1.5):
        x, before = start, None
        for at, to in pairwise(map(jd.Point.of, GRID)):
            eps = (x - at.alpha * 0.5 * np.tanh(x)) / at.sigma
            mixed = eps if before is None else gamma * eps + (1 - gamma) * before
            x, before = to.alpha * (x / at.alpha + (to.sigma / to.alpha - at.sigma / at.alpha) * mixed), eps
        options = dict(shape=(2, 1), num=2, grid=GRID, final="state", start=start.astype(np.float32))
        out = jd.sample(jax.random.key(0), counted, solver=GradientEstimation(gamma), **options)
        np.testing.assert_allclose(out.images, x, rtol=1e-4, atol=1e-5)
        seen = len(calls) if gamma == 2.0 else seen
    assert len(calls) == seen


def test_the_kit_finds_nothing():
    assert traces(Subject(Pulled(), 0.0)).result == "ok"
