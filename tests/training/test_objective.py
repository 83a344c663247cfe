"""Losses that read the averaged parameters, a frozen teacher and the step number: what they get, where, and at what cost."""

import functools
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxdiff as jd
from jaxdiff.training.objective import extras_of
from jaxdiff.training.validation import Validation

KEY = jax.random.key(0)


class Linear(nn.Module):
    """One dense layer over the channels."""

    @nn.compact
    def __call__(self, x, lam, cond=None, train=False):
        return nn.Dense(x.shape[-1])(x)


def batch(seed=0, size=4):
    return {"image": np.random.default_rng(seed).standard_normal((size, 4, 4, 2), np.float32)}


def distance(one, other):
    return sum(jnp.sum((a - b) ** 2) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def distilled(network, params, key, batch, *, train, first, total, average, teacher, step):
    """Follows a teacher and its own average: a few-step method as small as can be."""
    x = batch["image"]
    out, slow = (network.apply(p, x, jnp.zeros(len(x))) for p in (params, average))
    aim = jax.vmap(lambda x: teacher["scale"] * x)(x)
    value = jnp.mean((out - aim) ** 2) + 0.1 * jnp.mean((out - slow) ** 2) * (step + 1)
    return value, {"apart": distance(params, average), "scale": jnp.mean(teacher["scale"]), "number": step}


def fresh(optimizer, scale=0.5):
    state = jd.TrainState.create(KEY, Linear(), optimizer, batch())
    return state, {"scale": np.float32(scale) * np.ones((1, 1, 2), np.float32)}


def test_what_a_loss_asks_for_is_in_its_signature():
    class Callable:
        def __call__(self, network, params, key, batch, *, train, first, total, average):
            return 0.0, {}

    def wrapper(*args, **options):
        return distilled(*args, **options)

    assert extras_of(distilled) == {"average", "teacher", "step"}
    assert extras_of(functools.partial(distilled, step=3)) == {"average", "teacher", "step"}
    assert extras_of(Callable()) == {"average"}
    assert extras_of(wrapper) == extras_of(jd.DenoisingLoss(lam_sampler=lambda *_: _)) == set()
    assert extras_of(functools.wraps(distilled)(wrapper)) == extras_of(distilled)


def test_average_teacher_and_step_are_those_before_the_step_and_another_teacher_is_no_new_trace():
    traces, optimizer = [], optax.sgd(0.2)

    @functools.wraps(distilled)
    def counted(*args, **options):
        traces.append(1)
        return distilled(*args, **options)

    step = jd.make_train_step(counted, optimizer)
    state, teacher = fresh(optimizer)
    for n in range(4):
        apart = float(distance(state.params, state.ema))
        state, metrics = step(state, batch(n), KEY, teacher={"scale": (1.0 + n) * teacher["scale"]})
        assert float(metrics["apart"]) == pytest.approx(apart, rel=1e-5, abs=1e-9)
        assert float(metrics["scale"]) == 0.5 * (1 + n)
        assert int(metrics["number"]) == n
    assert apart > 0
    assert len(traces) == 1
    # Twenty steps towards a scale of 1: what the network learns is the teacher's.
    for n in range(100):
        state, metrics = step(state, batch(n), KEY, teacher={"scale": 2 * teacher["scale"]})
    kernel = np.asarray(state.params["params"]["Dense_0"]["kernel"])
    np.testing.assert_allclose(kernel, np.eye(2), atol=0.05)


def test_a_placed_teacher_stays_where_it_is():
    optimizer = optax.sgd(0.1)
    state, teacher = fresh(optimizer)
    step = jd.make_train_step(distilled, optimizer)
    placed = step.place_teacher(teacher)
    assert step.place_teacher(placed) is placed
    for _ in range(2):
        state, _ = step(state, batch(), KEY, teacher=placed)  # and is not donated
    np.testing.assert_array_equal(placed["scale"], teacher["scale"])


def test_a_denoiser_is_a_teacher():
    def follow(network, params, key, batch, *, train, first, total, teacher):
        x0 = jax.vmap(teacher)(batch["image"], jnp.zeros(len(batch["image"])))
        return jnp.mean((network.apply(params, batch["image"], jnp.zeros(1)) - x0) ** 2), {}

    optimizer = optax.sgd(0.1)
    state, _ = fresh(optimizer)
    teacher = jd.bind(Linear(), jax.tree.map(jnp.copy, state.params), "x0")
    _, metrics = jd.make_train_step(follow, optimizer)(state, batch(), KEY, teacher=teacher)
    assert float(metrics["loss"]) == 0.0  # the same network


def test_validation_gives_the_average_as_both_and_the_teacher():
    optimizer = optax.sgd(0.1)
    state, teacher = fresh(optimizer)
    row = Validation(distilled, Linear(), KEY, [batch(0), batch(1, size=2)])(state.ema, 7, teacher)
    assert row["validation/apart"] == 0
    assert row["validation/number"] == 7
    whole = np.concatenate([batch(0)["image"], batch(1, size=2)["image"]])
    out = Linear().apply(state.ema, whole, jnp.zeros(6))
    assert row["validation/loss"] == pytest.approx(float(jnp.mean((out - 0.5 * whole) ** 2)), rel=1e-5)


def test_a_teacher_too_few_or_too_many_or_of_no_arrays_is_refused():
    optimizer = optax.sgd(0.1)
    state, teacher = fresh(optimizer)
    with pytest.raises(
        ValueError, match=r"got no teacher for the loss distilled.*to fix: step\(state, batch, key, teacher"
    ):
        jd.make_train_step(distilled, optimizer)(state, batch(), KEY)
    with pytest.raises(ValueError, match="got a teacher with a function in it; expected a pytree of arrays"):
        jd.make_train_step(distilled, optimizer)(state, batch(), KEY, teacher={"scale": lambda x: x})

    def plain(network, params, key, batch, *, train, first, total):
        return jnp.zeros(()), {"skipped": jnp.zeros(())}

    with pytest.raises(ValueError, match="got a teacher for the loss plain, which has no parameter `teacher`"):
        jd.make_train_step(plain, optimizer)(state, batch(), KEY, teacher=teacher)
    with pytest.raises(ValueError, match="got metrics of the loss named skipped"):
        jd.make_train_step(plain, optimizer)(state, batch(), KEY)


DEVICES = """
import jax, numpy as np, optax
import jaxdiff as jd
from test_objective import KEY, batch, distilled, fresh

optimizer = optax.sgd(0.2)
traces = []

def counted(*args, average, teacher, step, **options):
    traces.append(1)
    return distilled(*args, average=average, teacher=teacher, step=step, **options)

def run(parallel, devices, **options):
    state, teacher = fresh(optimizer)
    step = jd.make_train_step(counted, optimizer, parallel, devices=devices, smallest=2, **options)
    traces.clear()
    for n in range(4):
        state, metrics = step(state, batch(n, size=16), KEY, teacher=jax.tree.map(lambda a: a * (1 + n), teacher))
        if n == 1:  # under pmap the first state lies elsewhere than those that come out
            begun = len(traces)
    assert len(traces) == begun  # the values of a teacher are an input
    placed = step.place_teacher(teacher)["scale"]
    assert len(placed.sharding.device_set) == len(devices)
    assert placed.is_fully_replicated == (options.get("fsdp", 1) == 1)
    return jax.device_get((state.params, state.ema, metrics))

one = run("jit", jax.devices()[:1])
start = jax.device_get(fresh(optimizer)[0].params)
moved = max(jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), one[0], start)))
assert moved > 0.1, moved
for parallel, options in (("jit", {}), ("jit", {"fsdp": 2, "accumulate": 2}), ("pmap", {}), ("jit", {"accumulate": 4})):
    other = run(parallel, jax.devices()[: 1 if options == {"accumulate": 4} else 4], **options)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, other)
print("equal")
"""


def test_devices_however_they_share_average_and_teacher_equal_one_device(run_python):
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + DEVICES
    assert run_python(code, devices=4).endswith("equal\n")
