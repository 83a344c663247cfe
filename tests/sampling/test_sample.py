"""What `sample` runs and returns: the same as its parts, image by image."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.conformance.problems import PROBLEMS
from jaxdiff.process.gaussian import alpha, sigma, start_noise, step_noise

PROBLEM = PROBLEMS["gaussian"]
DENOISE = PROBLEM.denoise  # float32
SHAPE = PROBLEM.shape
KEY = jax.random.key(7)
GRID = np.linspace(-3.0, 2.0, 6)


def run(solver=None, denoise=DENOISE, num=3, grid=GRID, **options):
    return jd.sample(KEY, denoise, shape=SHAPE, num=num, solver=solver or jd.DDIM(), grid=grid, **options)


@pytest.fixture(scope="module")
def ddpm():
    """A run whose every state is kept."""
    return run(jd.DDPM(), trajectory=1)


def test_a_run_is_its_update_formula(ddpm):
    """Start noise, then each step with the noise of its index, written out; the last call is the image."""
    for i in range(3):
        key = jax.random.fold_in(KEY, i)
        x = start_noise(key, SHAPE, jnp.float32)
        for k, (at, to) in enumerate(zip(GRID[:-1], GRID[1:])):  # noqa: RUF007
            x0, h = DENOISE(x, at), to - at
            mean = sigma(to) / sigma(at) * np.exp(-h) * x - alpha(to) * np.expm1(-2 * h) * x0
            x = mean + sigma(to) * np.sqrt(-np.expm1(-2 * h)) * step_noise(key, k, SHAPE, jnp.float32)
            np.testing.assert_allclose(ddpm.trajectory[i, k], x, atol=3e-6)
        np.testing.assert_allclose(ddpm.images[i], DENOISE(x, GRID[-1]), atol=3e-6)


def test_what_comes_back(ddpm):
    assert ddpm.images.shape == (3, *SHAPE)
    assert ddpm.images.dtype == jnp.float32
    assert ddpm.nfe == ddpm.batch_nfe == len(GRID)
    assert ddpm.finite.shape == (3,)
    assert ddpm.finite.all()


def test_state_is_what_the_last_call_sees(ddpm):
    state = run(jd.DDPM(), final="state")
    assert state.nfe == len(GRID) - 1
    assert state.trajectory is None
    np.testing.assert_allclose(state.images, ddpm.trajectory[:, -2], atol=1e-6)


@pytest.mark.parametrize("stride", [2, 4])
def test_trajectory_stride(ddpm, stride):
    """After every `stride`-th of six steps, then the result if it is not among them."""
    got = run(jd.DDPM(), trajectory=stride).trajectory
    kept = [k for k in range(6) if (k + 1) % stride == 0]
    kept += [5] if kept[-1:] != [5] else []
    np.testing.assert_allclose(got, ddpm.trajectory[:, np.array(kept)], atol=1e-6)


def test_trajectory_of_a_solver_of_several_calls_ends_with_the_image():
    out, state = run(diffrax.Heun(), trajectory=2), run(diffrax.Heun(), trajectory=2, final="state")
    np.testing.assert_array_equal(out.trajectory[:, -1], out.images)
    np.testing.assert_array_equal(state.trajectory[:, -1], state.images)
    assert out.trajectory.shape[1] == state.trajectory.shape[1] == 3  # 2, 4, and the image or the fifth
    np.testing.assert_allclose(out.trajectory[:, :2], state.trajectory[:, :2], atol=1e-6)
    last = jax.vmap(lambda x: DENOISE(x, GRID[-1]))(state.images)
    np.testing.assert_allclose(out.images, last, atol=1e-6)


class Midpoint(jd.Solver):
    """DDIM to the middle of the step, and with D there from its start: two calls a step."""

    order = 2
    evaluations = 2

    def update(self, denoise, x, at, to, noise, memory):
        middle = jd.Point.of(0.5 * (at.lam + to.lam))
        move = lambda to, x0: to.alpha * x0 + to.sigma / at.sigma * (x - at.alpha * x0)  # noqa: E731
        return move(to, denoise(move(middle, denoise(x, at.lam)), middle.lam)), memory


@pytest.mark.parametrize("solver", [jd.DPMpp(2, eta=0.5), Midpoint()], ids=lambda s: type(s).__name__)
def test_d_is_kept_beside_the_states(solver):
    """At step k it is the denoiser at the state before, here the exact one of Gaussian data; the last is the result."""
    start = jax.random.normal(jax.random.key(1), (3, *SHAPE))
    out = run(solver, start=start, trajectory=1, keep_x0=True)
    before = np.concatenate([np.asarray(start)[:, None], out.trajectory[:, :-1]], axis=1)
    exact = jax.vmap(jax.vmap(DENOISE, in_axes=(0, None)), in_axes=(1, 0), out_axes=1)(
        before, jnp.asarray(GRID, jnp.float32)
    )
    np.testing.assert_allclose(out.x0, exact, atol=1e-6)
    np.testing.assert_array_equal(out.x0[:, -1], out.images)


def test_d_of_a_stride_and_a_guidance_with_a_memory(ddpm):
    class Counting(jd.guidance.Remembering):
        """Adds nothing, but counts."""

        def memory(self, x):
            return jnp.zeros(())

        def update(self, x, lam, cond, memory, step):
            return DENOISE(x, lam) + 0 * memory, memory + 1

    out = run(jd.DDPM(), Counting(), trajectory=4, keep_x0=True)
    for k, state, x0 in zip((3, 5), (2, 4), (0, 1), strict=True):
        exact = jax.vmap(lambda x, k=k: DENOISE(x, GRID[k]))(ddpm.trajectory[:, state])
        np.testing.assert_allclose(out.x0[:, x0], exact, atol=1e-5)
    assert ddpm.x0 is None


traces = []


class Counted(eqx.Module):
    mean: jax.Array

    def __call__(self, x, lam, cond):
        traces.append(1)
        return DENOISE(x, lam) + self.mean


@pytest.mark.parametrize("solver", [jd.Renoised(jd.DDPM(), 2), diffrax.Heun()], ids=lambda s: type(s).__name__)
def test_grids_of_several_lengths_share_a_padded_program(solver):
    """With the images of unpadded ones, bitwise where more than one step leaves XLA a loop."""
    denoise = Counted(jnp.ones(SHAPE))
    plain = run(solver, denoise)
    padded = run(solver, denoise, rows=16)
    np.testing.assert_array_equal(padded.images, plain.images)
    assert padded.nfe == plain.nfe
    before = len(traces)
    short = run(solver, denoise, rows=16, grid=GRID[:1])
    assert short.nfe == 1
    start = run(jd.DDIM(), grid=GRID[:1], final="state").images
    np.testing.assert_allclose(short.images, jax.vmap(lambda x: DENOISE(x, GRID[0]) + 1)(start), atol=1e-6)
    longer = run(solver, denoise, rows=16, grid=np.linspace(-3.0, 2.0, 8))
    assert longer.finite.all()
    assert not np.array_equal(longer.images, padded.images)
    assert len(traces) == before


def test_a_padded_run_is_differentiated():
    def loss(start):
        return jnp.sum(run(jd.DPMpp(2), start=start, rows=16).images ** 2)

    start, slope = jnp.ones((3, *SHAPE)), jax.value_and_grad(loss)
    values = [slope(scale * start)[0] for scale in (0.5, 1.5)]
    np.testing.assert_allclose(jnp.vdot(slope(start)[1], start), values[1] - values[0], rtol=1e-4)  # exact for a square


@pytest.mark.parametrize(
    "solver", [jd.DDIM(), jd.EDMHeun(), diffrax.Euler(), diffrax.Tsit5()], ids=lambda s: type(s).__name__
)
def test_one_grid_value_is_one_call(solver):
    start = jnp.ones((2, *SHAPE))
    out = run(solver, num=2, grid=[0.5], start=start, trajectory=1)
    np.testing.assert_allclose(out.images, jax.vmap(lambda x: DENOISE(x, 0.5))(start), atol=1e-6)
    assert out.nfe == 1
    np.testing.assert_array_equal(out.trajectory[:, 0], out.images)
    state = run(solver, num=2, grid=[0.5], start=start, trajectory=1, final="state")
    np.testing.assert_array_equal(state.images, start)
    assert state.nfe == 0
    assert state.trajectory.shape == (2, 1, *SHAPE)


def test_final_call_of_a_foreign_euler_is_the_denoiser():
    out, state = run(diffrax.Euler()), run(diffrax.Euler(), final="state")
    np.testing.assert_allclose(out.images, jax.vmap(lambda x: DENOISE(x, GRID[-1]))(state.images), atol=1e-6)
    assert out.nfe == len(GRID)


def test_start_and_condition_belong_to_their_image():
    start = jax.random.normal(jax.random.key(1), (5, *SHAPE))
    cond = {"shift": jnp.arange(5.0)}
    shifted = lambda x, lam, cond: DENOISE(x, lam) + cond["shift"]  # noqa: E731
    out = run(denoise=shifted, num=5, start=start, cond=cond, batch=2)
    assert out.images.shape == (5, *SHAPE)
    one = run(denoise=shifted, num=2, start=start[3:], cond={"shift": jnp.arange(3.0, 5.0)}, batch=2)
    np.testing.assert_allclose(out.images[3:], one.images, atol=1e-6)
    alone = run(denoise=lambda x, lam, cond: DENOISE(x, lam) + 3, num=1, start=start[3:4])
    np.testing.assert_allclose(out.images[3], alone.images[0], atol=1e-5)


def test_partial_noise_starts_where_sample_does():
    """`noise` gives image i the start noise that `sample` would."""
    out = run(num=2, grid=[-9.0], final="state")
    np.testing.assert_allclose(jd.noise(KEY, jnp.zeros((2, *SHAPE)), -9.0), out.images, atol=1e-6)


def test_an_image_that_is_not_finite_is_told():
    start = jnp.ones((3, *SHAPE)).at[1].set(jnp.nan)
    np.testing.assert_array_equal(run(start=start).finite, [True, False, True])


@pytest.mark.usefixtures("x64")
def test_gradients():
    """Through the whole run, with respect to start and parameters, against central differences."""
    weights = np.random.default_rng(0).normal(size=(2, *SHAPE))
    exact = PROBLEM.denoise
    start, mean = jnp.asarray(weights[::-1]), exact.mean
    assert start.dtype == mean.dtype == jnp.float64

    def loss(values):
        start, mean = values
        denoise = eqx.tree_at(lambda d: d.mean, exact, mean)
        return jnp.sum(weights * jnp.sin(run(jd.DPMpp(order=2, eta=0.7), denoise, num=2, start=start).images))

    direction = (jnp.asarray(weights), jnp.cos(mean))
    slope = sum(jnp.vdot(g, d) for g, d in zip(jax.grad(loss)((start, mean)), direction))
    moved = lambda t: loss(jax.tree.map(lambda v, d: v + t * d, (start, mean), direction))  # noqa: E731
    np.testing.assert_allclose(slope, (moved(1e-5) - moved(-1e-5)) / 2e-5, rtol=1e-7)


ADAPTIVE = diffrax.PIDController(rtol=1e-3, atol=1e-3)
REFUSALS = [
    (dict(grid=[1.0, 0.5]), "expected finite values of λ, strictly rising"),
    (dict(grid=[0.0, 0.0]), "strictly rising"),
    (dict(grid=[0.0, np.inf]), "expected finite values"),
    (dict(grid=[]), "expected finite values"),
    (dict(num=0), "got num=0, batch=None; expected at least 1"),
    (dict(batch=0), "batch=0; expected at least 1"),
    (dict(num=2.0), r"got num=2.0; expected a whole number; to fix: num=int\(2.0\)"),
    (dict(batch=2.0), "got batch=2.0; expected a whole number"),
    (dict(solver=diffrax.Heun(), eta=np.nan), "got eta=nan; expected a finite number, 0 or more"),
    (dict(solver=diffrax.Heun(), eta=-1.0), "got eta=-1.0; expected a finite number, 0 or more"),
    (dict(solver=diffrax.SEA()), "got SEA with eta=0; expected eta above 0"),
    (dict(solver=diffrax.HalfSolver(diffrax.EulerHeun())), "got EulerHeun with eta=0"),
    (
        dict(solver=diffrax.ItoMilstein(), eta=1.0),
        "got ItoMilstein; expected a method for noise that does not depend on x",
    ),
    (dict(final="image"), "got final='image'; expected 'denoise' or 'state'"),
    (dict(trajectory=0), "got trajectory=0; expected a stride of at least 1"),
    (dict(solver=diffrax.Tsit5(), trajectory=1, controller=ADAPTIVE), "to fix: leave out controller"),
    (dict(keep_x0=True), "got keep_x0 with trajectory=None and DDIM; expected a stride"),
    (dict(solver=diffrax.Heun(), trajectory=1, keep_x0=True), "and Heun; expected a stride, and a jd.Solver"),
    (dict(rows=5), "got rows=5 for a run of 6 steps; expected as many or more; to fix: rows=6"),
    (dict(rows=8.0), "got rows=8.0; expected a whole number"),
    (dict(rows=8, trajectory=1), "got rows=8 with trajectory=1; expected a fixed grid of which the result alone"),
    (dict(solver=diffrax.Tsit5(), rows=8, controller=ADAPTIVE), "got rows=8 with a controller"),
    (dict(solver="ddim"), "got solver='ddim'; expected an object"),
    (dict(controller=ADAPTIVE), "got DDIM with controller or eta"),
    (dict(eta=1.0), "got DDIM with controller or eta"),
    (dict(solver=diffrax.Euler(), controller=ADAPTIVE), "got Euler with a controller, which estimates no error"),
    (dict(solver=diffrax.Kvaerno3()), "got the implicit solver Kvaerno3; expected an explicit one"),
    (dict(solver=diffrax.SemiImplicitEuler()), "got SemiImplicitEuler, whose denoiser calls are not known"),
    (dict(start=jnp.zeros((3, 4, 1))), r"got start with a leaf of shape \(3, 4, 1\); expected \(3, 3, 1\)"),
    (dict(cond={"label": jnp.zeros(2)}), r"got cond with a leaf of shape \(2,\); expected \(3, …\)"),
    (dict(cond={"label": 1.0}), r"got cond with a leaf of shape \(\)"),
    (dict(solver=jd.DDIM(eta=2.0)), "got eta=2.0, which asks for more noise than there is"),
]


@pytest.mark.parametrize(("options", "message"), REFUSALS)
def test_refusals(options, message):
    def never(x, lam, cond):
        raise AssertionError("traced before the check")

    with pytest.raises(ValueError, match=message):
        run(**{"denoise": never, **options})


@pytest.mark.parametrize(
    "key",
    [0, None, np.zeros(2), jax.random.split(jax.random.key(0), 2)],
    ids=lambda key: f"{key!r:.12}",
)
def test_what_is_no_key_is_refused(key):
    with pytest.raises(ValueError, match=r"expected a key; to fix: jax.random.key\(0\)"):
        jd.sample(key, lambda x, lam, cond: x, shape=(2, 1), num=1, solver=jd.DDIM(), grid=[0.0, 1.0])


@pytest.mark.parametrize("value", [np.nan, -0.5, np.inf])
@pytest.mark.parametrize("solver", [jd.DDIM, jd.DPMpp, jd.SASolver, jd.PredictorCorrector], ids=lambda s: s.__name__)
def test_an_eta_that_is_none_is_refused(solver, value):
    with pytest.raises(ValueError, match=f"got eta={value}; expected a finite number, 0 or more"):
        solver(eta=value)


def test_refusals_of_shape_and_solver_definitions():
    with pytest.raises(ValueError, match=r"got shape=\(\); expected"):
        jd.sample(KEY, DENOISE, shape=(), num=1, solver=jd.DDIM(), grid=GRID)
    for make in (
        lambda: jd.DPMpp(order=4),
        lambda: jd.DEIS(order=0),
        lambda: jd.IPNDM(order=5),
        lambda: jd.UniPC(order=1),
    ):
        with pytest.raises(ValueError, match="got order="):
            make()


class Twice(jd.Solver):
    """Calls D twice and does not say so."""

    order = 1

    def update(self, denoise, x, at, to, noise, memory):
        return denoise(denoise(x, at.lam), to.lam), memory


def test_undeclared_calls_and_a_missing_order_are_refused():
    with pytest.raises(ValueError, match="got 2 denoiser calls in one update of Twice; expected the declared"):
        run(Twice())

    class NoOrder(jd.Solver):
        update = Twice.update

    with pytest.raises(ValueError, match="got NoOrder without an order"):
        NoOrder()
