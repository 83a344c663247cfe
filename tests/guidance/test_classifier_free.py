"""Classifier-free guidance: its ends, its interval, one call for both branches, and the density it follows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.analytic import Gaussian, GaussianMixture
from jaxdiff.guidance import Guidance, classifier_free
from jaxdiff.predictions import from_x0
from jaxdiff.process.gaussian import alpha, sigma

MEANS = np.array([[[-1.0], [0.5]], [[1.2], [0.3]], [[0.0], [-1.0]]])
STD = 0.4


class ByClass(eqx.Module):
    """The exact denoiser of a class, and of all classes for the label −1."""

    means: jax.Array = eqx.field(converter=jnp.asarray)

    def __call__(self, x, lam, cond):
        label = cond["label"]
        variances = jnp.full(x.shape, STD**2)
        one = eqx.tree_at(
            lambda g: (g.mean, g.variances), Gaussian(MEANS[0], STD**2), (self.means[label], variances.ravel())
        )
        return jnp.where(label < 0, GaussianMixture(MEANS, np.full(3, STD))(x, lam), one(x, lam))


X = jnp.array([[0.3], [-0.7]])
LABEL = {"label": jnp.asarray(1, jnp.int32)}
NULL = {"label": jnp.asarray(-1, jnp.int32)}


@pytest.fixture(scope="module")
def denoise():
    return ByClass(MEANS)


def test_scale_one_is_the_condition_and_zero_the_null(denoise):
    np.testing.assert_allclose(classifier_free(denoise, 1.0)(X, 0.3, LABEL), denoise(X, 0.3, LABEL), atol=1e-6)
    np.testing.assert_allclose(classifier_free(denoise, 0.0)(X, 0.3, LABEL), denoise(X, 0.3, NULL), atol=1e-6)
    given, without = denoise(X, 0.3, LABEL), denoise(X, 0.3, NULL)
    np.testing.assert_allclose(classifier_free(denoise, 3.0)(X, 0.3, LABEL), 3 * given - 2 * without, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("lam", [-1.0, 0.5, 2.0])
def test_score_is_of_the_sharpened_density(denoise, scale, lam):
    """∇ log p(x|c)^w p(x)^(1−w), by autodiff of the densities of the classes."""

    def log_densities(x):
        square = jnp.sum((x - alpha(lam) * jnp.asarray(MEANS)) ** 2, axis=(1, 2))
        return -0.5 * square / ((alpha(lam) * STD) ** 2 + sigma(lam) ** 2)

    given = jax.grad(lambda x: log_densities(x)[1])(X)
    all_classes = jax.grad(lambda x: jax.nn.logsumexp(log_densities(x)))(X)
    score = from_x0("score", classifier_free(denoise, scale)(X, lam, LABEL), x=X, lam=lam)
    np.testing.assert_allclose(score, scale * given + (1 - scale) * all_classes, rtol=1e-3, atol=2e-3)


def test_acts_inside_its_interval_only(denoise):
    guided = classifier_free(denoise, 4.0, interval=(-1.0, 1.0))
    for lam in (-1.5, 1.5):
        np.testing.assert_array_equal(guided(X, lam, LABEL), denoise(X, lam, LABEL))
    for lam in (-1.0, 0.0, 1.0):
        np.testing.assert_array_equal(guided(X, lam, LABEL), classifier_free(denoise, 4.0)(X, lam, LABEL))


def test_scale_one_is_the_condition_to_the_bit(denoise):
    np.testing.assert_array_equal(classifier_free(denoise, 1.0)(X, 0.3, LABEL), denoise(X, 0.3, LABEL))


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_rescale_is_that_of_lin(denoise, share):
    """σ_pos/σ_cfg of the image about its mean, mixed in by φ (arXiv 2305.08891, eq. 15-16, where the mean is 0)."""
    given, cfg = denoise(X, 0.3, LABEL), np.asarray(classifier_free(denoise, 5.0)(X, 0.3, LABEL))
    mean = cfg.mean()
    wanted = mean + (share * np.std(given) / np.std(cfg) + (1 - share)) * (cfg - mean)
    got = classifier_free(denoise, 5.0, rescale=share)(X, 0.3, LABEL)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    outside = classifier_free(denoise, 5.0, interval=(1.0, 2.0), rescale=share)(X, 0.3, LABEL)
    np.testing.assert_array_equal(outside, given)


BRIGHTNESS = np.array([1.5, -20.0])
TEXTURE = np.array([0.5, 0.01])


class Varying(eqx.Module):
    """4×4×2 pixels: a brightness of each channel, N(BRIGHTNESS, 0.3²), and a texture of mean 0 around it.

    The condition has a pattern and says nothing of the brightness: guidance makes the pattern stronger, and leaves each
    image's mean where the unguided D leads it.
    """

    given: Gaussian
    null: Gaussian

    def __init__(self):
        pattern = np.cos(np.pi * np.arange(16)).reshape(4, 4, 1) * TEXTURE
        common = np.kron(np.ones((16, 16)), 0.3**2 * np.eye(2))
        cov = common + np.kron(np.eye(16) - 1 / 16, np.diag(TEXTURE**2))
        self.given, self.null = (Gaussian(BRIGHTNESS + share * pattern, cov) for share in (1.0, 0.0))

    def __call__(self, x, lam, cond):
        return jnp.where(cond["label"] < 0, self.null(x, lam), self.given(x, lam))


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_brightness_survives_rescaled_guidance(share):
    """30 calls at w = 7.5: each channel's mean over all images is the true one, and that of each image is unguided."""
    options = dict(shape=(4, 4, 2), num=256, solver=jd.DPMpp(2), cond={"label": np.zeros(256, np.int32)}, batch=256)
    options |= dict(grid=jd.grids.uniform_lam(jd.Cosine(), 30, lam_max=6.0))
    denoise = Varying()
    guided = classifier_free(denoise, 7.5, rescale=share)
    made, plain = (np.asarray(jd.sample(jax.random.key(0), d, **options).images, np.float64) for d in (guided, denoise))
    means = made.mean(axis=(1, 2))
    np.testing.assert_allclose(means.mean(axis=0), BRIGHTNESS, atol=4.5 * 0.3 / np.sqrt(256))
    np.testing.assert_allclose(means, plain.mean(axis=(1, 2)), atol=2e-4)
    contrast = made.std(axis=(1, 2)).mean(axis=0) / plain.std(axis=(1, 2)).mean(axis=0)
    low, high = {0.0: (5.3, 5.7), 0.7: (1.5, 3.0), 1.0: (0.8, 1.1)}[share]
    assert np.all((low < contrast) & (contrast < high)), contrast


def test_rescale_takes_each_channel_by_itself():
    """A dim and a bright channel, a flat one, and a volume: about its own mean, by its own contrast."""
    rng = np.random.default_rng(0)
    given, other = rng.normal(size=(2, 3, 4, 5, 3)) * [0.01, 100.0, 0.0] + [5.0, -300.0, 7.0]
    guided = given + 4.0 * (given - other)
    pixels = (0, 1, 2)
    factor = np.divide(given.std(pixels), guided.std(pixels), out=np.ones(3), where=guided.std(pixels) > 1e-9)
    wanted = guided.mean(pixels) + factor * (guided - guided.mean(pixels))
    denoise = lambda x, lam, cond: jnp.where(cond["label"] < 0, jnp.asarray(other), jnp.asarray(given)) + 0 * x  # noqa: E731
    with jax.enable_x64(True):
        x = jnp.zeros((3, 4, 5, 3))
        rescaled = classifier_free(denoise, 5.0, rescale=1.0)
        np.testing.assert_allclose(rescaled(x, 0.3, LABEL), wanted, rtol=1e-6)
        assert np.all(np.isfinite(jax.grad(lambda x: rescaled(x, 0.3, LABEL).sum())(x)))
        np.testing.assert_array_equal(
            classifier_free(denoise, 5.0, rescale=0.0)(x, 0.3, LABEL), classifier_free(denoise, 5.0)(x, 0.3, LABEL)
        )


def test_rescale_of_an_image_of_one_value():
    flat = classifier_free(lambda x, lam, cond: jnp.full_like(x, 2.0) + 0 * x, 3.0, rescale=1.0)
    np.testing.assert_allclose(flat(X, 0.0, LABEL), 2.0)
    assert np.all(np.isfinite(jax.grad(lambda x: flat(x, 0.0, LABEL).sum())(X)))


def test_new_numbers_are_no_new_trace(denoise):
    traces = []

    @eqx.filter_jit
    def call(guided):
        traces.append(1)
        return guided(X, 0.3, LABEL)

    results = [
        call(classifier_free(denoise, scale, interval=interval, rescale=rescale))
        for scale, interval, rescale in ((2.0, None, 0.0), (3.0, (-1.0, 1.0), 0.5), (3, (-2, 4), 1))
    ]
    assert len(traces) == 1
    assert not np.array_equal(results[0], results[1])


def convolutions(denoise, num: int, label) -> list[int]:
    """Batch sizes of the convolutions in the program of `num` images."""
    x, labels = jnp.ones((num, 8, 8, 1)), {"label": jnp.full(num, label)}
    jaxpr = jax.make_jaxpr(jax.vmap(lambda x, cond: denoise(x, 0.0, cond)))(x, labels)
    found = []

    def search(jaxpr):
        for eqn in jaxpr.eqns:
            if eqn.primitive.name == "conv_general_dilated":
                found.append(eqn.invars[0].aval.shape[eqn.params["dimension_numbers"].lhs_spec[0]])
            inner = [*jax.core.jaxprs_in_params(eqn.params)]
            if "branches_platforms" in eqn.params:  # forms of one layer, of which a program gets one
                inner = inner[-1:]
            for one in inner:
                search(one)

    search(jaxpr.jaxpr)
    return found


def test_a_network_is_called_once_on_twice_the_batch():
    """No convolution is there twice, and those that the condition does not reach run on the plain batch."""
    network = jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), num_classes=3)
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)), jnp.zeros(1))
    denoise = jd.bind(network, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), params))
    plain = convolutions(denoise, 3, 1)
    assert len(plain) > 6
    assert set(plain) == {3}
    guided = convolutions(classifier_free(denoise, 2.0, rescale=0.5), 3, 1)
    assert sorted(guided) == [3, 3] + [6] * (len(plain) - 2)  # the stem and the first block's first


def test_both_branches_are_one_batched_call():
    calls = []

    def denoise(x, lam, cond):
        calls.append(cond["label"])
        return x * cond["label"]

    def batched(x):
        return jax.vmap(classifier_free(denoise, 2.0), (0, None, None))(x, 0.0, LABEL)

    np.testing.assert_allclose(batched(X[None]), X[None] * (-1 + 2 * (1 + 1)))
    assert len(calls) == 1


def test_null_of_one_s_own():
    """For conditions that are not of the library's form."""
    denoise = lambda x, lam, cond: x + cond  # noqa: E731
    np.testing.assert_allclose(classifier_free(denoise, 2.0, null=5.0)(X, 0.0, jnp.float32(1.0)), X + 5 + 2 * (1 - 5))


def test_a_condition_that_is_no_dict_has_a_null_of_one_s_own(denoise):
    def bare(x, lam, label):
        return denoise(x, lam, {"label": label})

    got = classifier_free(bare, 3.0, null=jnp.asarray(-1))(X, 0.3, jnp.asarray(1))
    np.testing.assert_allclose(got, 3 * denoise(X, 0.3, LABEL) - 2 * denoise(X, 0.3, NULL), atol=1e-5)


def test_null_of_every_key():
    cond = jd.condition(label=jnp.asarray(2), vector=jnp.ones(3), image=jnp.ones((4, 4, 1)))
    total = lambda x, lam, cond: x + cond["label"] + cond["vector"].sum() + cond["image"].sum()  # noqa: E731
    np.testing.assert_allclose(classifier_free(total, 0.0)(X, 0.0, cond), X - 1, rtol=1e-5)


def test_samples_at_scale_one_are_of_their_class(denoise):
    labels = np.arange(300) % 3
    images = jd.sample(
        jax.random.key(0),
        classifier_free(denoise, 1.0),
        shape=(2, 1),
        num=300,
        batch=300,
        solver=jd.DPMpp(order=2),
        grid=np.linspace(-4, 4, 20),
        cond={"label": jnp.asarray(labels)},
    ).images
    for label, mean in enumerate(MEANS):  # 100 each: five standard errors
        of_class = np.asarray(images)[labels == label]
        np.testing.assert_allclose(of_class.mean(0), mean, atol=5 * STD / 10)
        np.testing.assert_allclose((of_class - mean).std(), STD, rtol=5 / np.sqrt(2 * 200))


def test_refusals(denoise):
    with pytest.raises(ValueError, match=r"got interval=\(1.0, -1.0\); expected \(low, high\)"):
        classifier_free(denoise, interval=(1.0, -1.0))
    with pytest.raises(ValueError, match=r"got rescale=1\.5; expected 0"):
        classifier_free(denoise, rescale=1.5)
    with pytest.raises(ValueError, match="without a condition"):
        classifier_free(denoise)(X, 0.0, None)
    with pytest.raises(ValueError, match="without null; expected a dict"):
        classifier_free(denoise)(X, 0.0, jnp.asarray(1))


def test_numbers_of_guidance_make_the_guided_denoiser(denoise):
    assert Guidance()(denoise) is denoise
    wanted = classifier_free(denoise, 3.0, interval=(-1.0, 1.0), rescale=0.5)
    got = Guidance(3.0, (-1.0, 1.0), 0.5)(denoise)
    for lam in (-2.0, 0.3):
        np.testing.assert_array_equal(got(X, lam, LABEL), wanted(X, lam, LABEL))
