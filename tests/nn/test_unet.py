import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tyro

from jaxdiff.nn import UNet, condition, null

KINDS = dict(num_classes=3, vector_size=2, image_channels=1)


def inputs(shape, seed=0):
    keys = jax.random.split(jax.random.key(seed), 2)
    return jax.random.normal(keys[0], shape), jax.random.uniform(keys[1], shape[:1], minval=-5, maxval=5)


def conditions(shape):
    batch = shape[0]
    keys = jax.random.split(jax.random.key(7), 2)
    return condition(
        label=jnp.arange(batch) % 3,
        vector=jax.random.normal(keys[0], (batch, 2)),
        image=jax.random.normal(keys[1], (*shape[:-1], 1)),
    )


@pytest.mark.parametrize(
    ("shape", "fields"),
    [
        ((2, 8, 8, 1), {}),
        ((1, 13, 7, 3), {"patch_size": 2}),
        ((2, 1, 5, 5), {}),
        ((1, 9, 17, 2), {"multipliers": (1, 1, 2), "attention": (False, False, True), "blocks": 2}),
        ((1, 3, 6, 10, 1), {}),
        ((1, 5, 4, 7, 4), {"patch_size": 2}),
        ((1, 12, 12, 1), {"patch_size": 4, "width": 12}),
    ],
)
def test_shape_is_kept_and_output_starts_at_zero(small, shape, fields, quick_jit):
    network = small(**fields)
    x, lam = inputs(shape)
    y = quick_jit(lambda key: network.init_with_output(key, x, lam)[0])(jax.random.key(0))
    assert y.shape == shape
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, 0.0)


def test_parameters_do_not_depend_on_the_image_size_or_the_conditions_given(small):
    network = small(**KINDS)
    shapes = []
    for shape, cond in (((1, 8, 8, 1), None), ((2, 5, 11, 1), conditions((2, 5, 11, 1)))):
        tree = jax.eval_shape(network.init, jax.random.key(0), *inputs(shape), cond)
        shapes.append(jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree))
    assert shapes[0] == shapes[1]


def test_null_none_and_missing_are_the_same_exactly(small, perturbed, run, quick_jit):
    network = small(**KINDS)
    x, lam = inputs((3, 8, 8, 1))
    cond = conditions(x.shape)
    variables = perturbed(network, x, lam, cond)
    nothing = run(network, variables, x, lam)
    empty = null(cond)
    full = quick_jit(network.apply)
    np.testing.assert_array_equal(full(variables, x, lam, empty), nothing)
    np.testing.assert_array_equal(run(network, variables, x, lam, {"label": None, "image": empty["image"]}), nothing)
    for name in cond:
        given = full(variables, x, lam, {**empty, name: cond[name]})
        assert float(jnp.abs(given - nothing).max()) > 1e-3
    present_zeros = {**empty, **condition(image=jnp.zeros(x.shape))}
    assert float(jnp.abs(full(variables, x, lam, present_zeros) - nothing).max()) > 1e-3


def test_an_image_as_it_was_taken_needs_no_augmentation_label(small, perturbed, run):
    network = small(augmentation_size=3)
    x, lam = inputs((2, 8, 8, 1))
    variables = perturbed(network, x, lam)
    plain = run(network, variables, x, lam)
    for done, same in ((np.zeros((2, 3)), True), (np.eye(2, 3), False)):
        got = run(network, variables, x, lam, condition(augmentation=done))
        assert np.array_equal(got, plain) == same
    with pytest.raises(ValueError, match=r"augmentation.*of shape \(2, 4\); expected \(2, 3\)"):
        run(network, variables, x, lam, condition(augmentation=np.zeros((2, 4))))


def test_bfloat16_is_close_and_parameters_stay_float32(small, perturbed, run):
    x, lam = inputs((4, 16, 16, 1))
    exact, rounded = small(), small(dtype="bfloat16")
    variables = perturbed(exact, x, lam)
    types = jax.tree.map(lambda leaf: leaf.dtype, jax.eval_shape(rounded.init, jax.random.key(0), x, lam, None))
    assert set(jax.tree.leaves(types)) == {jnp.dtype("float32")}
    y, z = run(exact, variables, x, lam), run(rounded, variables, x, lam)
    assert z.dtype == jnp.float32
    error = float(jnp.sqrt(jnp.mean((y - z) ** 2) / jnp.mean(y**2)))
    assert 0 < error < 0.03


def test_vmapped_single_images_are_one_batched_program(small, perturbed, quick_jit):
    network = small(**KINDS)
    x, lam = inputs((3, 8, 6, 2))
    cond = conditions(x.shape)
    variables = perturbed(network, x, lam, cond)

    def one(variables, x, lam, cond):
        return network.apply(variables, x[None], lam[None], jax.tree.map(lambda leaf: leaf[None], cond))[0]

    singles = quick_jit(jax.vmap(one, in_axes=(None, 0, 0, 0)))
    batched = quick_jit(network.apply)
    np.testing.assert_allclose(singles(variables, x, lam, cond), batched(variables, x, lam, cond), atol=2e-5)
    texts = [f.lower(variables, x, lam, cond).as_text() for f in (singles, batched)]
    convolutions = [re.findall(r"stablehlo\.convolution.*", text) for text in texts]
    assert len(convolutions[0]) == len(convolutions[1]) > 0
    assert all("feature_group_count = 1" in c and "batch_group_count = 1" in c for c in convolutions[0])


def test_rematerialisation_keeps_less_and_changes_neither_values_nor_gradients(small, perturbed, quick_jit):
    x, lam = inputs((2, 8, 8, 1))
    networks = {remat: small(remat=remat) for remat in ("none", "cheap", "all")}
    assert small(remat=True) == networks["all"]
    variables = perturbed(networks["none"], x, lam)

    def loss(network):
        return quick_jit(jax.value_and_grad(lambda v: jnp.mean(network.apply(v, x, lam, train=True) ** 2)))

    values, gradients, products, kept = {}, {}, {}, {}
    for remat, network in networks.items():
        values[remat], gradients[remat] = loss(network)(variables)
        text = loss(network).lower(variables).as_text()
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


def test_every_parameter_has_a_gradient(small, perturbed, quick_jit):
    network = small(**KINDS)
    x, lam = inputs((12, 8, 8, 2))
    cond = conditions(x.shape)
    variables = perturbed(network, x, lam, cond)

    def loss(variables, x, lam, cond):
        target = jnp.cos(jnp.arange(x.size)).reshape(x.shape)
        cond = jax.tree.map(lambda leaf: leaf[None], cond)
        return jnp.mean((network.apply(variables, x[None], lam[None], cond)[0] - target) ** 2)

    each = quick_jit(jax.vmap(jax.grad(loss), in_axes=(None, 0, 0, 0)))(variables, x, lam, cond)
    rms = jax.tree.map(lambda g: np.sqrt(np.mean(np.square(g, dtype=np.float64), axis=0)), each)
    typical = np.median([np.sqrt(np.mean(leaf**2)) for leaf in jax.tree.leaves(rms)])
    for path, leaf in jax.tree_util.tree_leaves_with_path(rms):
        assert leaf.min() > 1e-4 * typical, (jax.tree_util.keystr(path), leaf.min(), typical)


def test_dropout_only_in_training_and_only_from_its_key(small, perturbed, run, quick_jit):
    x, lam = inputs((2, 8, 8, 1))
    network = small(dropout=0.5)
    variables = perturbed(network, x, lam)
    apply = quick_jit(
        lambda seed, train: network.apply(variables, x, lam, None, train, rngs={"dropout": seed}),
        static_argnames="train",
    )
    first, again, other = (apply(jax.random.key(seed), True) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    np.testing.assert_array_equal(apply(jax.random.key(0), False), apply(jax.random.key(1), False))
    np.testing.assert_allclose(apply(jax.random.key(0), False), run(small(), variables, x, lam), atol=1e-6)


def test_a_shifted_image_gives_a_shifted_output(small, perturbed, run):
    network = small(multipliers=(1,), attention=(False,))  # receptive field 8 pixels each way: borders stay apart
    pattern, _ = inputs((1, 4, 4, 1))
    images = jnp.zeros((2, 48, 48, 1)).at[0, 20:24, 22:26].set(pattern[0]).at[1, 23:27, 20:24].set(pattern[0])
    variables = perturbed(network, images, jnp.zeros(2))
    first, second = run(network, variables, images, jnp.zeros(2))
    assert float(jnp.abs(first[20:24, 22:26]).max()) > 0.1
    np.testing.assert_allclose(second[17:33, 14:30], first[14:30, 16:32], atol=1e-5)


def test_float64_mode_changes_nothing(small, perturbed, run):
    network = small(**KINDS)
    x, lam = inputs((2, 8, 8, 1))
    cond = conditions(x.shape)
    variables = perturbed(network, x, lam, cond)
    expected = run(network, variables, x, lam, cond)
    with jax.enable_x64(True):
        y = run(network, variables, x.astype(jnp.float64), lam.astype(jnp.float64), cond)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        ({"label": jnp.zeros(2, int)}, "num_classes"),
        ({"colour": jnp.zeros(2)}, "'colour'"),
        ({"vector": jnp.zeros((2, 3))}, r"expected \(2, 5\)"),
        ({"image": jnp.zeros((2, 8, 8, 2))}, "image_channels"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(small, cond, message):
    network = small(vector_size=4)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, jax.random.key(0), *inputs((2, 8, 8, 1)), cond)


@pytest.mark.parametrize(("shape", "lam"), [((8, 8, 1), (8,)), ((2, 8, 8, 1), ()), ((2, 8, 8, 1), (3,))])
def test_a_missing_batch_axis_is_refused(small, shape, lam):
    with pytest.raises(ValueError, match="to fix"):
        jax.eval_shape(small().init, jax.random.key(0), jnp.zeros(shape), jnp.zeros(lam))


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 0},
        {"attention": (True,)},
        {"multipliers": (), "attention": ()},
        {"dropout": 1.0},
        {"num_classes": -1},
        {"dtype": "float16"},
        {"attention_implementation": "cudnn"},
    ],
)
def test_fields_that_contradict_are_refused(fields):
    with pytest.raises(ValueError, match=r"got UNet .*; expected .*; to fix: "):
        UNet(**fields)


def test_read_by_tyro_and_by_json():
    args = ["--width", "32", "--multipliers", "1", "2", "--attention", "False", "True", "--dtype", "bfloat16"]
    network = tyro.cli(UNet, args=args)
    assert network == UNet(width=32, multipliers=(1, 2), attention=(False, True), dtype="bfloat16")
    fields = {f.name: getattr(network, f.name) for f in dataclasses.fields(network) if f.name not in ("parent", "name")}
    assert UNet(**json.loads(json.dumps(fields))) == network
