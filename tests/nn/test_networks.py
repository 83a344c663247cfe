"""What holds of every network here: one line in `NETWORKS` puts another under all of these tests."""

import functools
import json
from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks_inputs import KINDS, conditions, inputs

import jaxdiff as jd
from jaxdiff.nn import condition, null
from jaxdiff.nn.condition import completed, expected

UNET = functools.partial(jd.UNet, width=8, multipliers=(1, 2), blocks=1, attention=(False, True), head_size=8)
DIT = functools.partial(jd.DiT, width=16, blocks=3, head_size=8, patch_size=2)
NETWORKS = {
    "UNet": UNET,
    "UNet with a transformer": functools.partial(UNET, transformer=1),
    "DiT": DIT,
}
SHAPES = {
    "UNet": (7, 6, 2),
    "UNet with a transformer": (2, 4, 5, 1),
    "DiT": (5, 4, 6, 1),
}
"""Of an image, in two axes or three."""
SMALLEST = [functools.partial(UNET, multipliers=(1,), attention=(True,)), functools.partial(DIT, blocks=1)]


@dataclass
class Case:
    """A network that reads all conditions, with parameters away from their initial zeros."""

    build: Any
    network: Any
    variables: Any
    x: Any
    lam: Any
    cond: Any
    apply: Any
    """Compiled."""

    @functools.cached_property
    def output(self):
        return self.apply(self.variables, self.x, self.lam, self.cond)


@pytest.fixture(scope="module", params=NETWORKS)
def case(request, perturbed, quick_jit):
    build = NETWORKS[request.param]
    rank = len(SHAPES[request.param]) - 1
    network = build(**KINDS, augmentation_size=rank + 1)
    x, lam = inputs((3, *SHAPES[request.param]))
    cond = conditions(x.shape) | condition(augmentation=np.eye(3, rank + 1))
    variables = perturbed(network, x, lam, cond)
    return Case(build, network, variables, x, lam, cond, quick_jit(network.apply))


@pytest.mark.parametrize(
    ("build", "shape", "more"),
    [
        (UNET, (2, 8, 8, 1), {}),
        (UNET, (1, 13, 7, 3), {"patch_size": 2}),
        (UNET, (2, 1, 5, 5), {}),
        (UNET, (1, 9, 17, 2), {"multipliers": (1, 1, 2), "attention": (False, False, True)}),
        (UNET, (1, 4, 4, 1), {"multipliers": (1,), "attention": (False,), "blocks": 2}),
        (UNET, (1, 5, 4, 7, 4), {"patch_size": 2}),
        (UNET, (1, 12, 12, 1), {"patch_size": 4, "width": 12, "multipliers": (1,), "attention": (False,)}),
        (UNET, (1, 13, 7, 3), {"transformer": 2}),
        (UNET, (1, 3, 5, 6, 1), {"transformer": 1, "multipliers": (1,), "attention": (False,)}),
        (DIT, (2, 13, 7, 3), {}),
        (DIT, (1, 3, 6, 9, 1), {"blocks": 4}),
        (DIT, (1, 20, 33, 1), {"patch_size": 16, "blocks": 1}),
    ],
)
def test_shape_is_kept_and_output_starts_at_zero(build, shape, more, quick_jit, perturbed):
    """For the last layer as `init` makes it, whatever the others are: random numbers of all of them compile for seconds."""
    network = build(**more)
    x, lam = inputs(shape)
    variables = perturbed(network, x, lam)
    (last,) = variables["params"].keys() & {"conv_out", "out"}
    first = quick_jit(lambda key: network.init(key, x, lam)["params"][last])(jax.random.key(0))
    y = quick_jit(network.apply)({"params": {**variables["params"], last: first}}, x, lam)
    assert y.shape == shape
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, 0.0)


def test_parameters_do_not_depend_on_the_image_size_or_the_conditions_given(case):
    shapes = []
    for shape, cond in ((case.x.shape, None), ((2, *case.x.shape[2:-1], 11, case.x.shape[-1]), "all")):
        cond = conditions(shape) if cond else None
        tree = jax.eval_shape(case.network.init, jax.random.key(0), *inputs(shape), cond)
        shapes.append(jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree))
    assert shapes[0] == shapes[1]


def test_the_null_is_what_is_put_in_for_missing_conditions_and_each_condition_is_read(case):
    empty = null(case.cond) | {"augmentation": np.zeros_like(case.cond["augmentation"])}
    read = expected(case.network, len(case.x), case.x.shape[1:-1])
    for missing in (None, {}, {"label": None, "image": empty["image"]}):
        jax.tree.map(np.testing.assert_array_equal, completed(missing, read), {name: empty[name] for name in read})
    nothing = case.apply(case.variables, case.x, case.lam, empty)
    for name in case.cond:
        one = case.apply(case.variables, case.x, case.lam, {**empty, name: case.cond[name]})
        assert float(jnp.abs(one - nothing).max()) > 1e-3, name
    zeros = {**empty, **condition(image=np.zeros((*case.x.shape[:-1], 1)))}
    assert float(jnp.abs(case.apply(case.variables, case.x, case.lam, zeros) - nothing).max()) > 1e-3


def test_an_image_does_not_depend_on_its_batch(case):
    """Bitwise at the same batch size; and one after the other, as a denoiser under `vmap` calls the network."""
    order = np.array([2, 0, 1])
    mixed = jax.tree.map(lambda leaf: leaf[order], (case.x, case.lam, case.cond))
    np.testing.assert_array_equal(case.apply(case.variables, *mixed), case.output[order])

    def one(variables, x, lam, cond):
        return case.network.apply(variables, x[None], lam[None], jax.tree.map(lambda leaf: leaf[None], cond))[0]

    arguments = (case.variables, case.x, case.lam, case.cond)
    texts = []
    for f in (jax.jit(jax.vmap(one, in_axes=(None, 0, 0, 0))), case.apply):
        text = f.lower(*arguments).as_text()
        texts.append((text.count("stablehlo.convolution"), text.count("stablehlo.dot_general")))
        assert "feature_group_count = 3" not in text
        assert "batch_group_count = 3" not in text
    assert texts[0] == texts[1]


def test_bfloat16_is_close_and_parameters_stay_float32(case, run):
    rounded = case.build(**KINDS, augmentation_size=case.network.augmentation_size, dtype="bfloat16")
    shapes = jax.eval_shape(rounded.init, jax.random.key(0), case.x, case.lam, None)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    rough = run(rounded, case.variables, case.x, case.lam, case.cond)
    assert rough.dtype == jnp.float32
    error = float(jnp.sqrt(jnp.mean((case.output - rough) ** 2) / jnp.mean(case.output**2)))
    assert 0 < error < 0.03


def test_forward_derivatives_are_the_transposes_of_backward_ones_also_of_each_image(case, quick_jit):
    """⟨u, J v⟩ = ⟨Jᵀ u, v⟩ along x and λ, a central difference along the same, and the same Jᵀ u image by image."""
    u, v = (jax.random.normal(jax.random.key(seed), case.x.shape) for seed in (1, 2))
    rate = jnp.array([1.0, -2.0, 0.5])

    def one(x, lam, cond):
        return case.network.apply(case.variables, x[None], lam[None], jax.tree.map(lambda leaf: leaf[None], cond))[0]

    def of_one(u, x, lam, cond):
        return jax.vjp(lambda x, lam: one(x, lam, cond), x, lam)[1](u)

    @quick_jit
    def both(x, lam):
        batch = lambda x, lam: case.network.apply(case.variables, x, lam, case.cond)  # noqa: E731
        _, forward = jax.jvp(batch, (x, lam), (v, rate))
        return forward, jax.vmap(of_one)(u, x, lam, case.cond)

    forward, (to_x, to_lam) = both(case.x, case.lam)
    images = tuple(range(1, case.x.ndim))
    np.testing.assert_allclose(
        jnp.sum(u * forward, images), jnp.sum(to_x * v, images) + to_lam * rate, rtol=1e-3, atol=1e-2
    )
    h = 1e-2
    ends = [case.apply(case.variables, case.x + s * h * v, case.lam + s * h * rate, case.cond) for s in (1, -1)]
    difference = (ends[0] - ends[1]) / (2 * h)
    assert float(jnp.linalg.norm(difference - forward) / jnp.linalg.norm(forward)) < 0.01


def test_every_parameter_has_a_gradient(case, quick_jit):
    x, lam = inputs((12, *case.x.shape[1:]))
    cond = conditions(x.shape) | condition(augmentation=np.tile(np.eye(case.x.ndim - 1), (6, 1))[:12])

    def loss(variables, x, lam, cond):
        target = jnp.cos(jnp.arange(x.size)).reshape(x.shape)
        cond = jax.tree.map(lambda leaf: leaf[None], cond)
        return jnp.mean((case.network.apply(variables, x[None], lam[None], cond)[0] - target) ** 2)

    each = quick_jit(jax.vmap(jax.grad(loss), in_axes=(None, 0, 0, 0)))(case.variables, x, lam, cond)
    rms = jax.tree.map(lambda g: np.sqrt(np.mean(np.square(g, dtype=np.float64), axis=0)), each)
    typical = np.median([np.sqrt(np.mean(leaf**2)) for leaf in jax.tree.leaves(rms)])
    for path, leaf in jax.tree_util.tree_leaves_with_path(rms):
        assert leaf.min() > 1e-4 * typical, (jax.tree_util.keystr(path), leaf.min(), typical)


@pytest.mark.slow
@pytest.mark.parametrize("build", SMALLEST, ids=["UNet", "DiT"])
def test_rematerialisation_keeps_less_and_changes_neither_values_nor_gradients(build, perturbed, quick_jit):
    x, lam = inputs((2, 8, 8, 1))
    networks = {remat: build(remat=remat) for remat in ("none", "cheap", "all")}
    variables = perturbed(networks["none"], x, lam)

    def loss(network):
        return quick_jit(jax.value_and_grad(lambda v: jnp.mean(network.apply(v, x, lam, train=True) ** 2)))

    values, gradients, products, kept = {}, {}, {}, {}
    for remat, network in networks.items():
        lowered = loss(network).lower(variables)
        values[remat], gradients[remat] = lowered.compile()(variables)
        text = lowered.as_text()
        products[remat] = text.count("stablehlo.convolution") + text.count("stablehlo.dot_general")
        forward = lambda v, network=network: jnp.sum(network.apply(v, x, lam, train=True))  # noqa: E731
        residuals = jax.eval_shape(lambda v, forward=forward: jax.vjp(forward, v)[1], variables)
        kept[remat] = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(residuals))
    assert products["none"] == products["cheap"] < products["all"]
    assert kept["none"] > kept["cheap"] > kept["all"]
    for remat in ("cheap", "all"):
        np.testing.assert_allclose(values[remat], values["none"], rtol=1e-6)
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)  # noqa: E731
        jax.tree.map(close, gradients[remat], gradients["none"])


@pytest.mark.parametrize("build", SMALLEST, ids=["UNet", "DiT"])
def test_dropout_only_in_training_and_only_from_its_key(build, perturbed, quick_jit):
    x, lam = inputs((2, 8, 8, 1))
    network = build(dropout=0.5)
    variables = perturbed(network, x, lam)
    apply = quick_jit(
        lambda seed, train: network.apply(variables, x, lam, None, train, rngs={"dropout": seed}),
        static_argnames="train",
    )
    first, again, other = (apply(jax.random.key(seed), True) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    np.testing.assert_array_equal(apply(jax.random.key(0), False), apply(jax.random.key(1), False))


def test_float64_mode_changes_nothing(case):
    with jax.enable_x64(True):
        y = case.apply(case.variables, case.x.astype(jnp.float64), case.lam.astype(jnp.float64), case.cond)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, case.output, atol=1e-5)


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        ({"label": jnp.zeros(2, int)}, "num_classes"),
        ({"colour": jnp.zeros(2)}, "'colour'"),
        ({"vector": jnp.zeros((2, 3))}, r"expected \(2, 5\)"),
        ({"augmentation": np.zeros((2, 4))}, r"augmentation.*of shape \(2, 4\); expected \(2, 3\)"),
        ({"image": jnp.zeros((2, 8, 8, 2))}, "image_channels"),
    ],
)
@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_conditions_that_do_not_fit_are_refused(build, cond, message):
    network = build(vector_size=4, augmentation_size=3)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, jax.random.key(0), *inputs((2, 8, 8, 1)), cond)


@pytest.mark.parametrize(("shape", "lam"), [((8, 8, 1), (8,)), ((2, 8, 8, 1), ()), ((2, 8, 8, 1), (3,))])
@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_a_missing_batch_axis_is_refused(build, shape, lam):
    with pytest.raises(ValueError, match="to fix"):
        jax.eval_shape(build().init, jax.random.key(0), jnp.zeros(shape), jnp.zeros(lam))


@pytest.mark.parametrize(
    "more",
    [
        {"width": 0},
        {"dropout": 1.0},
        {"num_classes": -1},
        {"dtype": "float16"},
        {"remat": "some"},
        {"attention_implementation": "cudnn"},
        {"patch_size": 65},
        {"head_size": 3},
    ],
)
@pytest.mark.parametrize("name", ["UNet with a transformer", "DiT"])
def test_fields_that_contradict_are_refused(name, more):
    with pytest.raises(ValueError, match=rf"got {name.split()[0]} .*; expected .*; to fix: "):
        NETWORKS[name](**more)


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_read_by_json(build):
    network = build(dtype="bfloat16", num_classes=2)
    stored = {f.name: getattr(network, f.name) for f in fields(network) if f.name not in ("parent", "name")}
    assert type(network)(**json.loads(json.dumps(stored))) == network
