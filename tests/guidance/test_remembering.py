"""Guidance with a memory: APG against its recursion in NumPy, CFG-Zero* from outside, and what a memory may not do."""

from itertools import pairwise

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.guidance import Remembering, adaptive_projected
from jaxdiff.process.gaussian import alpha, sigma

GRID, SHAPE = np.linspace(-2.0, 2.0, 5), (3, 2, 1)
LABELS = np.array([0, 2, 1, 3, 2])
START = np.random.default_rng(0).normal(size=(5, *SHAPE))
KEY = jax.random.key(0)
traced = []


def by_class(x, lam, cond):
    """D of each class, of none where the label is −1; not linear in x."""
    traced.append(1)
    return mean(jnp, x, cond["label"])


def mean(xp, x, label):
    return 0.3 * x + 0.2 * xp.sin(x + label) + 0.1 * label


def run(denoise, *, solver=None, labels=LABELS, start=START, **options):
    cond = {"label": labels}
    solver = jd.DDIM() if solver is None else solver
    return jd.sample(
        KEY, denoise, shape=SHAPE, num=len(labels), solver=solver, grid=GRID, cond=cond, start=start, **options
    )


def ddim(x0, x, at, to):
    return alpha(to) * x0 + sigma(to) / sigma(at) * (x - alpha(at) * x0)


class APG:
    """The paper's algorithm 1, for one image, in NumPy."""

    def __init__(self, label, scale, parallel, threshold, momentum):
        self.label, self.numbers, self.average = label, (scale, parallel, threshold, momentum), 0.0

    def __call__(self, x):
        scale, parallel, threshold, momentum = self.numbers
        given = mean(np, x, self.label)
        self.average = given - mean(np, x, -1) + momentum * self.average
        change = self.average * min(1.0, threshold / np.linalg.norm(self.average))
        unit = given / np.linalg.norm(given)
        along = (change * unit).sum() * unit
        return given + (scale - 1) * (change - along + parallel * along)


NUMBERS = [(4.0, 0.0, np.inf, -0.5), (3.0, 0.4, 0.5, 0.7), (1.0, 0.0, 1.0, 0.9)]


def euler(numbers, label, x):
    """(the states, the result) of DDIM along the grid."""
    guided, states = APG(label, *numbers), []
    for at, to in pairwise(GRID):
        x = ddim(guided(x), x, at, to)
        states.append(x)
    return np.stack([*states, guided(x)])


def keywords(numbers):
    return dict(zip(("scale", "parallel", "threshold", "momentum"), numbers))


@pytest.mark.usefixtures("x64")
def test_apg_is_its_recursion_in_images_trajectories_and_batches_without_new_programs():
    for numbers in NUMBERS:
        wanted = np.stack([euler(numbers, label, x) for label, x in zip(LABELS, START)])
        before = len(traced)
        out = run(adaptive_projected(by_class, **keywords(numbers)), trajectory=1, batch=2)
        np.testing.assert_allclose(out.trajectory, wanted, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(out.images, wanted[:, -1], rtol=1e-10, atol=1e-12)
        assert out.nfe == 5
        assert numbers is NUMBERS[0] or len(traced) == before
    alone = run(adaptive_projected(by_class, **keywords(NUMBERS[-1])), labels=LABELS[1:3], start=START[1:3], batch=2)
    np.testing.assert_array_equal(alone.images, out.images[1:3])  # no batch mate, no position


@pytest.mark.usefixtures("x64")
def test_without_momentum_and_projection_it_is_classifier_free_guidance():
    plain = run(jd.guidance.classifier_free(by_class, 3.0))
    same = run(adaptive_projected(by_class, 3.0, parallel=1.0, momentum=0.0))
    np.testing.assert_allclose(same.images, plain.images, rtol=1e-10)


class Heun(jd.Solver):
    """Two calls a step."""

    order = 2
    evaluations = 2

    def update(self, denoise, x, at, to, noise, memory):
        first = denoise(x, at.lam)
        second = denoise(ddim_of(first, x, at, to), to.lam)
        return ddim_of(0.5 * (first + second), x, at, to), memory


def ddim_of(x0, x, at, to):
    return to.alpha * x0 + to.sigma / at.sigma * (x - at.alpha * x0)


@pytest.mark.usefixtures("x64")
def test_a_solver_of_two_calls_a_step_passes_the_memory_on_from_call_to_call_and_to_the_last():
    x, guided = START[0], APG(2, *NUMBERS[1])
    for at, to in pairwise(GRID):
        first = guided(x)
        second = guided(ddim(first, x, at, to))
        x = ddim(0.5 * (first + second), x, at, to)
    out = run(
        adaptive_projected(by_class, **keywords(NUMBERS[1])), solver=Heun(), labels=np.array([2]), start=START[:1]
    )
    np.testing.assert_allclose(out.images[0], guided(x), rtol=1e-10)
    assert out.nfe == 9


class Counts(Remembering):
    """x0 is 100 times the step, plus how often it was called before."""

    def memory(self, x):
        return jnp.zeros((), x.dtype)

    def update(self, x, lam, cond, memory, step):
        return 0 * x + 100 * step + memory, memory + 1


@pytest.mark.parametrize(("solver", "last"), [(jd.DPMpp(2), 404), (Heun(), 408), (jd.EDMHeun(), 808)], ids=str)
def test_steps_are_rows_and_calls_are_counted(solver, last):
    assert set(np.unique(run(Counts(), solver=solver).images)) == {last}


class CFGZeroStar(Remembering):
    """Fan et al. 2025, arXiv 2503.18886, on the velocity ε − x0: the null's is scaled to fit, the first steps are zero."""

    denoise: object
    scale: float = 2.0
    zero_steps: int = 1

    def update(self, x, lam, cond, memory, step):
        a, s = alpha(lam), sigma(lam)
        velocity = lambda x0: (x - a * x0) / s - x0  # noqa: E731
        given, without = (
            velocity(self.denoise(x, lam, c)) for c in (cond, {"label": jnp.full_like(cond["label"], -1)})
        )
        fit = jnp.sum(given * without) / jnp.sum(without**2)
        guided = jnp.where(step < self.zero_steps, 0.0, fit * without + self.scale * (given - fit * without))
        return (x - s * guided) / (a + s), memory


@pytest.mark.usefixtures("x64")
def test_cfg_zero_star_knows_the_first_step():
    def velocity(x0, x, lam):
        return (x - alpha(lam) * x0) / sigma(lam) - x0

    out = run(CFGZeroStar(by_class, 2.5), final="state")
    for label, x, image in zip(LABELS, START, out.images):
        y = x / (alpha(GRID[0]) + sigma(GRID[0]))  # rectified coordinates, where a step is Euler's
        for k, (at, to) in enumerate(pairwise(GRID)):
            t, t_next = (sigma(lam) / (alpha(lam) + sigma(lam)) for lam in (at, to))
            x = y * (alpha(at) + sigma(at))
            given, without = (velocity(mean(np, x, c), x, at) for c in (label, -1))
            fit = (given * without).sum() / (without**2).sum()
            y = y + (t_next - t) * (0.0 if k == 0 else fit * without + 2.5 * (given - fit * without))
        np.testing.assert_allclose(image, y * (alpha(GRID[-1]) + sigma(GRID[-1])), rtol=1e-9)


@pytest.mark.usefixtures("x64")
def test_it_is_differentiated():
    def mean_of(scale):
        return run(adaptive_projected(by_class, scale), labels=LABELS[:2], start=jnp.asarray(START[:2])).images.mean()

    by_hand = [
        np.mean([euler((scale, 0.0, np.inf, -0.5), label, x)[-1] for label, x in zip(LABELS[:2], START)])
        for scale in (1.9999, 2.0001)
    ]
    np.testing.assert_allclose(jax.grad(mean_of)(2.0), np.diff(by_hand)[0] / 0.0002, rtol=1e-4)


def test_images_without_difference_have_finite_gradients():
    x, flat = jnp.zeros(SHAPE), adaptive_projected(lambda x, lam, cond: 0.0 * x, 3.0)
    gradient = jax.grad(lambda x: flat.update(x, 0.0, {"label": jnp.array(1)}, flat.memory(x), jnp.array(0))[0].sum())
    assert np.isfinite(gradient(x)).all()


@pytest.mark.parametrize(
    "options", [dict(solver=diffrax.Heun()), dict(solver=diffrax.Tsit5(), controller=diffrax.PIDController(1e-3, 1e-3))]
)
def test_solvers_that_cannot_carry_a_memory_are_refused(options):
    with pytest.raises(
        ValueError, match=r"got Counts, which remembers its calls, with .* of diffrax.*to fix: jd.DPMpp"
    ):
        run(Counts(), **options)


def test_what_goes_around_it_or_asks_for_one_point_is_told_why_not():
    message = r"got Counts called as a function of one point; expected it outermost.*to fix"
    with pytest.raises(ValueError, match=message):
        run(jd.guidance.windowed(Counts(), 2, 0), labels=LABELS[:1], start=START[:1])
    with pytest.raises(ValueError, match=message):
        jd.encode(Counts(), START, ends=(-2.0, 2.0))
    with pytest.raises(ValueError, match="without a condition"):
        jd.sample(KEY, adaptive_projected(by_class), shape=SHAPE, num=1, solver=jd.DDIM(), grid=GRID)
