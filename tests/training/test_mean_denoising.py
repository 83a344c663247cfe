"""Few-step training: what is exact leaves no error, and what is not does; a student starts at its teacher; runs."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.training.loop import train
from jaxdiff.training.mean_denoising import MeanDenoising, differentiable
from jaxdiff.training.optimizer import AdamW

COV = np.array([[1.3, 0.4], [0.4, 0.5]])
GAUSSIAN = jd.analytic.Gaussian(np.array([[0.5, -0.3]]), COV)
KEY = jax.random.key(0)
UNET = jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), reads_span=True)


@dataclasses.dataclass(frozen=True)
class Linear:
    """D + share (X − D) of Gaussian data as a network that predicts it: exact at share 1, blind to its span at 0."""

    reads_span: bool = True

    def init(self, key, x, lam, cond=None):
        return {"params": {"share": jnp.ones(())}}

    def apply(self, variables, x, lam, cond=None):
        means, D = (
            jax.vmap(lambda x, lam, span: GAUSSIAN(x, lam, {"span": span}))(x, lam, span)
            for span in (cond["span"], jnp.zeros_like(lam))
        )
        return D + variables["params"]["share"] * (means - D)


EXACT, BLIND = ({"params": {"share": jnp.full((), share)}} for share in (1.0, 0.0))


def loss_of(network, teacher=None, **settings):
    parts = {"predicts": "x0", "schedule": jd.Cosine(), "sigma_data": 1.0, "drop_condition": 0.1}
    return MeanDenoising(teacher=teacher, **settings).build(SimpleNamespace(network=network, **parts))


def drawn(num):
    return {"image": np.random.default_rng(1).multivariate_normal([0.5, -0.3], COV, num)[:, None].astype(np.float32)}


def test_the_exact_mean_of_its_teacher_has_no_error():
    loss = loss_of(Linear(), "teacher", power=0.0)
    value = jax.jit(lambda variables: loss(Linear(), variables, KEY, drawn(512), teacher=GAUSSIAN)[0])
    assert value(EXACT) < 1e-8  # float32, weights up to 1/0.05²
    assert value(BLIND) > 0.05


def test_from_scratch_the_exact_mean_is_where_the_gradient_vanishes():
    """E[image − D | x] = 0: the mean over many images of what a bend of X changes, beside its own scatter."""
    loss, parts = loss_of(Linear(), power=0.0), drawn(4096)["image"].reshape(32, 128, 1, 2)

    def slope(variables, first, part):
        return loss(Linear(), variables, KEY, {"image": part}, first=first, total=4096)[0]

    each = jax.jit(jax.vmap(jax.grad(slope), (None, 0, 0)))
    of_exact, of_blind = (np.array(each(v, 128 * jnp.arange(32), parts)["params"]["share"]) for v in (EXACT, BLIND))
    scatter = of_exact.std() / np.sqrt(len(parts))
    assert abs(of_exact.mean()) < 4 * scatter
    assert of_blind.mean() < -8 * scatter


def test_shares_of_a_batch_have_the_loss_of_all_of_it():
    batch, variables = drawn(16)["image"], {"params": {"share": jnp.float32(0.3)}}
    loss = jax.jit(
        lambda first, part: loss_of(Linear())(Linear(), variables, KEY, {"image": part}, first=first, total=16)[0]
    )
    halves = [loss(first, batch[first : first + 8]) for first in (0, 8)]
    np.testing.assert_allclose(loss(0, batch), np.mean(halves), rtol=1e-5)


def test_a_guided_teacher_is_learned_at_all_its_scales():
    """A teacher whose D is 1 with a label and 0 without is, guided, its scale; a network that says so has no error."""

    class Scales(Linear):
        reads_guidance = True

        def apply(self, variables, x, lam, cond=None):
            scale = jnp.where(cond["label"] >= 0, 1 + cond["guidance"], 0.0) + variables["params"]["share"]
            return jnp.broadcast_to(scale[:, None, None], x.shape)

    def teacher(x, lam, cond):
        return jnp.broadcast_to(jnp.where(cond["label"] >= 0, 1.0, 0.0), x.shape)

    batch = {**drawn(64), "cond": {"label": jnp.arange(64) % 3}}
    loss = loss_of(Scales(), "teacher", guidance=(1.0, 4.0), power=0.0, no_step=1.0, to_clean=0.0)
    value = jax.jit(lambda variables: loss(Scales(), variables, KEY, batch, teacher=teacher)[0])
    assert value(BLIND) < 1e-10
    assert value(EXACT) > 0.1


def test_forward_derivatives_are_of_float32_and_plain_attention():
    half = dataclasses.replace(UNET, dtype="bfloat16", attention_implementation="cudnn")
    assert differentiable(half) == UNET
    assert differentiable(UNET) is UNET
    assert differentiable(Linear()) == Linear()


@pytest.mark.parametrize(
    ("network", "settings", "message"),
    [
        (jd.UNet(), {}, "without reads_span"),
        (UNET, {"teacher": "t", "guidance": (1.0, 3.0)}, "without reads_guidance"),
        (UNET, {"guidance": (2.0, 2.0)}, "without a teacher"),
        (UNET, {"teacher": "t", "guidance": (3.0, 2.0)}, "lowest <= highest"),
        (UNET, {"no_step": 0.7, "to_clean": 0.5}, "at most 1"),
        (UNET, {"power": 2.0}, "power=2.0"),
    ],
)
def test_what_contradicts_is_refused(network, settings, message):
    with pytest.raises(ValueError, match=message):
        loss_of(network, **settings)


@pytest.mark.usefixtures("compiled_once")
def test_a_student_starts_at_its_teacher_and_samples_in_two_calls(config):
    """Trained from a run that knew no span; resumed; loaded; by default sampled with its own solver, and as D with others."""
    plain = dataclasses.replace(UNET, reads_span=False)
    run = config(name="teacher", network=plain, steps=2, optimizer=AdamW(learning_rate=1e-305, warmup=1))
    teacher = jd.load(train(run))
    assert not teacher.few_calls
    assert teacher.calls == 20
    student = config(
        name="student",
        network=UNET,
        loss=MeanDenoising(teacher=str(run.folder)),
        init_from=str(run.folder),
        steps=1,
        optimizer=AdamW(learning_rate=1e-30, warmup=1),
    )
    folder = train(student)
    began = jd.load(folder)
    x = jax.random.normal(KEY, (8, 8, 1))
    np.testing.assert_array_equal(began.denoise(x, 0.3), teacher.denoise(x, 0.3))
    np.testing.assert_array_equal(began.denoise(x, 0.3, {"span": jnp.float32(0.2)}), teacher.denoise(x, 0.3))
    train(dataclasses.replace(student, steps=3))
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "step_error"} <= {*rows[0]}
    model = jd.load(folder)
    assert model.few_calls
    assert isinstance(model.solver, jd.MeanFlow)
    assert "MeanFlow" in repr(model)
    assert model.sample(KEY, 2).nfe == 2
    with pytest.raises(ValueError, match="reads_span=True"):
        teacher.sample(KEY, 2, solver=jd.MeanFlow(), calls=2)
