"""Windows of a large image: the average they are, what does not change, and that samples have no seams."""

import itertools

import diffrax
import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.analytic import Gaussian
from jaxdiff.guidance import autoguidance, classifier_free, windowed
from jaxdiff.guidance.windowed import window_starts
from jaxdiff.metrics.seams import has_seam, seam_statistic
from jaxdiff.nn import POLICIES
from jaxdiff.process.gaussian import alpha, sigma

PIXELS = Gaussian(0.3, 0.5)
"""Independent pixels, of images of any size."""


def noise(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def by_hand(denoise, x, lam, cond, window, overlap):
    """Σ w D / Σ w over all windows, in float64, from the definition."""
    size, window, overlap = x.shape[:-1], np.broadcast_to(window, x.ndim - 1), np.broadcast_to(overlap, x.ndim - 1)
    total, weights = np.zeros(x.shape), np.zeros(size)
    tapers = [0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(w) + 0.5) / w) for w in window]
    weight = tapers[0]
    for taper in tapers[1:]:
        weight = weight[..., None] * taper
    starts = [sorted({min(k, s - w) for k in range(0, s, w - o)}) for s, w, o in zip(size, window, overlap)]
    for corner in itertools.product(*starts):
        at = tuple(slice(c, c + w) for c, w in zip(corner, window))
        of_window = dict(cond or {})
        if "image" in of_window:
            of_window["image"] = of_window["image"][at]
        total[at] += weight[..., None] * np.asarray(denoise(x[at], lam, of_window), np.float64)
        weights[at] += weight
    return total / weights[..., None]


def context(x, lam, cond):
    """Depends on all of a window, on its place in it, and on every part of the condition."""
    place = jnp.linspace(0, 1, x.size).reshape(x.shape)
    return jnp.tanh(x - x.mean()) + place + lam * cond["image"][..., :1] + cond["label"] + cond["vector"].sum()


@pytest.mark.parametrize(
    ("size", "window", "overlap", "chunk"),
    [
        ((16, 16), 8, 4, 16),
        ((19, 26), 8, 3, 4),
        ((8, 21), (8, 6), (0, 5), 100),
        ((23, 9), (8, 9), (2, 0), 1),
        ((5, 14, 11), (3, 8, 8), (1, 4, 2), 5),
    ],
)
def test_it_is_the_weighted_average_of_the_windows(size, window, overlap, chunk):
    x = noise(*size, 2)
    cond = jd.condition(label=jnp.asarray(2), vector=jnp.ones(3), image=noise(*size, 1, 1, seed=1)[..., 0, :])
    cond = {k: jnp.asarray(v) for k, v in cond.items()}
    got = jax.jit(windowed(context, window, overlap, chunk))(x, 0.7, cond)
    np.testing.assert_allclose(got, by_hand(jax.jit(context), x, 0.7, cond, window, overlap), atol=1e-5)


def test_windows_reach_the_edge_and_leave_no_gap():
    for size, window, overlap in itertools.product(range(7, 40), (5, 7), (0, 2, 4)):
        starts = window_starts(size, window, overlap)
        assert starts[0] == 0
        assert starts[-1] == size - window
        steps = np.diff(starts)
        assert (steps > 0).all()
        assert (steps[:-1] == window - overlap).all()
        assert (steps <= window - overlap).all()


@pytest.mark.parametrize("size", [(17, 30), (41, 8)])
def test_where_windows_agree_nothing_changes(size):
    x = noise(*size, 1)
    half = jax.jit(windowed(lambda x, lam, cond: 0.5 * x, 8, 3))  # rounds nothing
    np.testing.assert_array_equal(half(x, 0.4), 0.5 * x)
    np.testing.assert_allclose(eqx.filter_jit(windowed(PIXELS, 8, 3))(x, 0.4), PIXELS(x, 0.4), atol=1e-6)


def test_one_window_is_the_plain_denoiser():
    calls = []

    def denoise(x, lam, cond):
        calls.append((x, lam, cond))
        return x

    x, cond = noise(8, 12, 1), {"image": noise(8, 12, 2)}
    windowed(denoise, (8, 12), 4)(x, 0.4, cond)
    ((got, lam, got_cond),) = calls
    assert got is x
    assert got_cond is cond
    assert lam == 0.4


class Network(nn.Module):
    """Two convolutions that know λ, the class and the condition image."""

    @nn.compact
    def __call__(self, x, lam, cond):
        h = jnp.concatenate([x, cond["image"]], -1)
        h = nn.tanh(nn.Conv(8, (3, 3))(h) + (lam + cond["label"])[:, None, None, None])
        return nn.Conv(x.shape[-1], (3, 3))(h)


@pytest.fixture(scope="module")
def network():
    cond = jd.condition(label=np.zeros(1, int), image=np.zeros((1, 8, 8, 1)))
    init = jax.jit(lambda key: Network().init(key, jnp.zeros((1, 8, 8, 1)), jnp.zeros(1), cond))
    return [jd.bind(Network(), init(jax.random.key(i))) for i in range(2)]


def test_new_parameters_labels_and_images_are_no_new_trace(network):
    traces = []

    @eqx.filter_jit
    def call(denoise, x, cond):
        traces.append(1)
        return jax.vmap(lambda x, cond: denoise(x, 0.3, cond))(x, cond)

    results = []
    for denoise, label, seed in ((network[0], 1, 0), (network[1], 2, 1)):
        cond = jd.condition(label=jnp.full(2, label), image=noise(2, 13, 10, 1, seed=seed))
        x = noise(2, 13, 10, 1, seed=seed + 5)
        results.append(call(windowed(denoise, 8, 4, chunk=2), x, cond))
        alone = jax.tree.map(lambda leaf: leaf[1], cond)
        np.testing.assert_allclose(results[-1][1], by_hand(denoise, x[1], 0.3, alone, 8, 4), atol=1e-5)
    assert len(traces) == 1
    assert not np.allclose(*results)


def test_the_program_holds_the_network_once(network):
    """Also where the windows are no multiple of the chunk."""

    def convolutions(denoise, size):
        x, cond = jnp.zeros((*size, 1)), jd.condition(label=jnp.asarray(0), image=jnp.zeros((*size, 1)))
        return str(jax.make_jaxpr(denoise)(x, 0.0, cond)).count("conv_general_dilated[")

    assert convolutions(windowed(network[0], 8, 4, chunk=4), (13, 10)) == 2


def test_around_other_guidance_and_within_it():
    denoise = lambda x, lam, cond: PIXELS(x, lam) * (1 + 0.1 * cond["label"]) + cond["image"][..., :1]  # noqa: E731
    x, cond = noise(13, 10, 1), jd.condition(label=jnp.asarray(1), image=noise(13, 10, 1, seed=1))
    wanted = jax.jit(lambda x: classifier_free(denoise, 2.0)(x, 0.3, cond))(x)
    for guided in (windowed(classifier_free(denoise, 2.0), 8, 4), classifier_free(windowed(denoise, 8, 4), 2.0)):
        np.testing.assert_allclose(eqx.filter_jit(guided)(x, 0.3, cond), wanted, atol=1e-6)
    both = eqx.filter_jit(autoguidance(windowed(PIXELS, 8, 4), PIXELS, 2.0))
    np.testing.assert_allclose(both(x, 0.3), PIXELS(x, 0.3), atol=1e-6)


def test_noise_and_several_calls_a_step():
    def images(denoise):
        grid, solver = np.linspace(-3, 3, 5), jd.EDMHeun(churn=20.0)
        return jd.sample(jax.random.key(0), denoise, shape=(13, 10, 1), num=3, batch=2, solver=solver, grid=grid)

    joint, plain = images(windowed(PIXELS, 8, 4, chunk=3)), images(PIXELS)
    np.testing.assert_allclose(joint.images, plain.images, atol=1e-5)
    assert joint.nfe == plain.nfe
    assert joint.finite.all()


def test_adaptive_steps_reach_the_end_of_the_exact_flow():
    start, ends = noise(3, 13, 10, 1), np.array([-3.0, 3.0])
    joint = jd.sample(
        jax.random.key(0),
        windowed(PIXELS, 8, 4, chunk=3),
        shape=(13, 10, 1),
        num=3,
        start=start,
        solver=diffrax.Tsit5(),
        controller=diffrax.PIDController(rtol=1e-4, atol=1e-4),
        grid=ends,
        final="state",
    )
    mean, spread = alpha(ends) * 0.3, np.sqrt(alpha(ends) ** 2 * 0.5 + sigma(ends) ** 2)
    np.testing.assert_allclose(joint.images, mean[1] + spread[1] / spread[0] * (start - mean[0]), atol=2e-3)


def test_gradients_flow(network):
    x, cond = noise(13, 10, 1), jd.condition(label=jnp.asarray(1), image=noise(13, 10, 1, seed=1))

    def loss(joint, x, variance):
        denoise = eqx.tree_at(lambda g: g.variances, PIXELS, variance[None])
        return ((windowed(denoise, 8, 3) if joint else denoise)(x, 0.2) ** 2).sum()

    gradient = jax.jit(jax.grad(loss, argnums=(1, 2)), static_argnums=0)
    got, wanted = (gradient(joint, x, jnp.float32(0.5)) for joint in (True, False))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), got, wanted)

    def of_network(params, x, image):
        denoise = eqx.tree_at(lambda d: d.params, network[0], params)
        return (windowed(denoise, 8, 4)(x, 0.2, {**cond, "image": image}) ** 2).sum()

    gradients = jax.jit(jax.grad(of_network, argnums=(0, 1, 2)))(network[0].params, x, jnp.asarray(cond["image"]))
    for leaf in jax.tree.leaves(gradients):
        assert np.isfinite(leaf).all()
        assert (np.abs(leaf) > 0).all()


def test_a_policy_keeps_convolutions_for_the_gradient(network):
    x, cond = noise(13, 10, 1), jd.condition(label=jnp.asarray(1), image=noise(13, 10, 1, seed=1))

    def gradient(policy):
        joint = windowed(network[0], 8, 4, chunk=2, policy=policy)
        return jax.grad(lambda x: (joint(x, jnp.float32(0.2), cond) ** 2).sum())

    np.testing.assert_allclose(gradient(None)(x), gradient(POLICIES["cheap"])(x), rtol=1e-4, atol=1e-5)
    again, kept = (str(jax.make_jaxpr(gradient(p))(x)).count("conv_general") for p in (None, POLICIES["cheap"]))
    assert kept < again


def test_a_repeat_is_the_same_to_the_bit(network):
    cond = jd.condition(label=jnp.asarray(1), image=noise(21, 18, 1, seed=1))
    call = jax.jit(lambda x: windowed(network[0], 8, 4, chunk=3)(x, 0.3, cond))
    np.testing.assert_array_equal(call(noise(21, 18, 1)), call(noise(21, 18, 1)))


def seamed(images, period):
    """Along either axis, the images as channels of one."""
    return has_seam(seam_statistic(np.moveaxis(np.asarray(images)[..., 0], 0, -1), period))


def field(size=12, length=3.0):
    """The exact denoiser of a window of a stationary field, whose neighbours know each other."""
    y, x = np.indices((size, size)).reshape(2, -1)
    distance = np.hypot(y[:, None] - y, x[:, None] - x)
    return Gaussian(np.zeros((size, size, 1)), np.exp(-distance / length))


def test_samples_have_no_seams_and_windows_of_their_own_have():
    def images(overlap):
        denoise = windowed(field(), 12, overlap)
        grid = np.linspace(-3, 3, 8)
        return jd.sample(
            jax.random.key(1), denoise, shape=(44, 68, 1), num=8, solver=jd.DPMpp(order=2), grid=grid
        ).images

    assert not seamed(images(6), 6)
    assert seamed(images(0), 12)


def test_an_offset_of_each_window_makes_no_seam():
    """Of a network that normalises each window by itself, on images with an uneven background."""
    offset = lambda x, lam, cond: x - x.mean()  # noqa: E731
    rng, place = np.random.default_rng(2), np.arange(96) / 40
    background = np.cos(2 * np.pi * (place + rng.random((6, 1))))[:, None, :, None]
    x = jnp.asarray(0.5 * background + 0.2 * np.asarray(noise(6, 32, 96, 1)))
    joint, apart = (jax.jit(jax.vmap(lambda x, o=o: windowed(offset, 16, o)(x, 0.0)))(x) for o in (8, 0))
    assert not seamed(joint, 8)
    assert seamed(apart, 16)


def test_refusals():
    denoise = windowed(PIXELS, 8, 4)
    with pytest.raises(
        ValueError, match=r"got an image of 7 x 30 pixels; expected at least the window, 8 x 8; to fix: "
    ):
        denoise(noise(7, 30, 1), 0.0)
    with pytest.raises(ValueError, match=r"got a condition image of shape \(8, 8, 2\) for an image of 16 x 16 pixels"):
        denoise(noise(16, 16, 1), 0.0, {"image": noise(8, 8, 2)})
    with pytest.raises(ValueError, match=r"got an image with 3 spatial axes; expected 2"):
        windowed(PIXELS, (8, 8), 4)(noise(8, 8, 8, 1), 0.0)
    for window, overlap in ((8, 8), (8, -1), ((8, 4), 4), ((8, 8), (1, 1, 1)), (0, 0)):
        with pytest.raises(ValueError, match="expected 0 ≤ overlap < window along each axis; to fix"):
            windowed(PIXELS, window, overlap)
    with pytest.raises(ValueError, match="got chunk=0"):
        windowed(PIXELS, 8, 4, chunk=0)
