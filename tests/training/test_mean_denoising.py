"""Few-step training: what is exact leaves no error, and what is not does; a student starts at its teacher; runs."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.commands.solver_options import check_calls
from jaxdiff.guidance.learned import check_learned
from jaxdiff.network import differentiable
from jaxdiff.training.loop import train
from jaxdiff.training.mean_denoising import MeanDenoising
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.preview import sheet_solver

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


class Scales(Linear):
    """1 with a label, times the scale of guidance that it is told, and 0 without."""

    reads_guidance = True
    num_classes = 3

    def apply(self, variables, x, lam, cond=None):
        scale = jnp.where(cond["label"] >= 0, 1 + cond["guidance"], 0.0) + variables["params"]["share"]
        return jnp.broadcast_to(scale[:, None, None], x.shape)


EXACT, BLIND = ({"params": {"share": jnp.full((), share)}} for share in (1.0, 0.0))


def loss_of(network, teacher=None, predicts="x0", part=0.0, **settings):
    parts = {"predicts": predicts, "schedule": jd.Cosine(), "sigma_data": 1.0, "drop_condition": 0.1}
    return MeanDenoising(teacher=teacher, part=part, **settings).build(SimpleNamespace(network=network, **parts))


def drawn(num):
    return {"image": np.random.default_rng(1).multivariate_normal([0.5, -0.3], COV, num)[:, None].astype(np.float32)}


def test_the_exact_mean_of_its_teacher_has_no_error():
    loss = loss_of(Linear(), "teacher", power=0.0, to_clean=0.0)
    value = jax.jit(lambda variables: loss(Linear(), variables, KEY, drawn(512), teacher=GAUSSIAN)[0])
    assert value(EXACT) < 1e-8  # float32, weights up to 1/0.05²
    assert value(BLIND) > 0.05


def test_parts_of_a_step_lead_to_their_limit():
    """(3) of the exact X is the error of a step with D over a part, of second order; its gradient is that of (1)."""

    def value(share, part):
        loss, variables = (
            loss_of(Linear(), "teacher", power=0.0, no_step=0.0, to_clean=0.0, part=part),
            {"params": {"share": share}},
        )
        return loss(Linear(), variables, KEY, drawn(512), teacher=GAUSSIAN)[0]

    of_exact = [float(value(jnp.ones(()), part)) for part in (0.1, 0.05, 0.025)]
    assert 7.5 < of_exact[1] / of_exact[2] < of_exact[0] / of_exact[1] < 8.5  # (part² / √part)²
    slopes = [float(jax.grad(value)(jnp.zeros(()), part)) for part in (0.0, 0.01, 1.0)]
    np.testing.assert_allclose(slopes[1], slopes[0], rtol=0.03)
    assert abs(slopes[2]) < 1e-6 * abs(slopes[0])  # all of the step with D: X = D, which is blind


@pytest.mark.parametrize("part", [0.0, 0.05])
def test_steps_to_the_clean_end_are_tied_to_the_teacher(part):
    """At r = 0 all that is constant along the flow leaves no error but at the cleanest images, where X is D."""

    class Constant(Linear):
        def apply(self, variables, x, lam, cond=None):
            return jnp.zeros_like(x) + variables["params"]["share"]

    loss = loss_of(Constant(), "teacher", part=part, power=0.0, no_step=0.0, to_clean=1.0)
    zero = jd.analytic.Gaussian(np.zeros((1, 2)), np.zeros((2, 2)))
    slope = jax.grad(lambda variables: loss(Constant(), variables, KEY, drawn(512), teacher=zero)[0])
    assert slope(EXACT)["params"]["share"] > 0.01
    assert abs(slope(BLIND)["params"]["share"]) < 1e-6


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


def test_images_that_are_rare_count_as_often_as_they_are():
    """From scratch D is their mean, whatever `power`: weighed by the distance to it, it would be nearer to their median."""
    images = np.repeat([0.0, 1.0], [3072, 1024])[:, None, None].astype(np.float32)
    mixture = jd.analytic.GaussianMixture(np.array([[[0.0]], [[1.0]]]), np.zeros(2), np.array([3.0, 1.0]))

    class Shifted(Linear):
        def apply(self, variables, x, lam, cond=None):
            return jax.vmap(mixture)(x, lam) + variables["params"]["share"]

    loss = loss_of(Shifted(), power=0.5, no_step=1.0, to_clean=0.0)
    slope = jax.jit(jax.grad(lambda variables: loss(Shifted(), variables, KEY, {"image": images})[0]))
    assert abs(slope(BLIND)["params"]["share"]) < 0.05 * slope(EXACT)["params"]["share"]


def test_shares_of_a_batch_have_the_loss_of_all_of_it():
    batch, variables = drawn(16)["image"], {"params": {"share": jnp.float32(0.3)}}
    loss = jax.jit(
        lambda first, part: loss_of(Linear())(Linear(), variables, KEY, {"image": part}, first=first, total=16)[0]
    )
    halves = [loss(first, batch[first : first + 8]) for first in (0, 8)]
    np.testing.assert_allclose(loss(0, batch), np.mean(halves), rtol=1e-5)


def test_a_guided_teacher_is_learned_at_all_its_scales():
    """A teacher whose D is 1 with a label and 0 without is, guided, its scale; a network that says so has no error."""

    def teacher(x, lam, cond):
        return jnp.broadcast_to(jnp.where(cond["label"] >= 0, 1.0, 0.0), x.shape)

    batch = {**drawn(64), "cond": {"label": jnp.arange(64) % 3}}
    loss = loss_of(Scales(), "teacher", guidance=(1.0, 4.0), power=0.0, no_step=1.0, to_clean=0.0)
    value = jax.jit(lambda variables: loss(Scales(), variables, KEY, batch, teacher=teacher)[0])
    assert value(BLIND) < 1e-10
    assert value(EXACT) > 0.1


def test_learned_guidance_is_told_to_the_network():
    """By the same option as any other, in one call; scales that were not trained are refused."""
    denoise = jd.bind(Scales(), BLIND, "x0")
    guided = jd.guidance.Guidance(3.0)(denoise)
    np.testing.assert_allclose(guided(jnp.zeros((1, 2)), 0.3, {"label": jnp.int32(1)}), 3.0)
    np.testing.assert_array_equal(jd.condition(label=[0, 1], guidance=3.0)["guidance"], [2.0, 2.0])
    check_learned([1.0, 3.9], (1.0, 4.0))
    for message, call in {
        "expected 2 to 4, which this model has learned": lambda: check_learned(1.0, (2.0, 4.0)),
        "scales from 1 on": lambda: jd.guidance.Guidance(0.5)(denoise),
        "expected a scale alone": lambda: jd.guidance.Guidance(2.0, rescale=0.7)(denoise),
        "expected scales of 1, none, or more": lambda: jd.condition(label=0, guidance=0.5),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()


def test_forward_derivatives_are_of_float32_and_plain_attention():
    half = dataclasses.replace(UNET, dtype="bfloat16", attention_implementation="cudnn")
    assert differentiable(half) == UNET
    assert differentiable(UNET) is UNET
    assert differentiable(Linear()) == Linear()

    class Typed(Linear):
        dtype = jnp.bfloat16  # no field: nothing that a copy could be made with

    assert differentiable(own := Typed()) is own


def test_predictions_that_grow_at_the_noisy_end_are_warned_of(recwarn):
    for predicts in ("x0", "v", "velocity", "F"):
        loss_of(UNET, predicts=predicts)
    assert not recwarn
    with pytest.warns(UserWarning, match=r"predicts='eps' .* 403 times as large .*predicts='v'"):
        loss_of(UNET, predicts="eps")


@pytest.mark.parametrize(
    ("network", "settings", "message"),
    [
        (jd.UNet(), {}, "without reads_span"),
        (UNET, {"teacher": "t", "guidance": (1.0, 3.0)}, "without reads_guidance"),
        (UNET, {"guidance": (2.0, 2.0)}, "without a teacher"),
        (UNET, {"teacher": "t", "guidance": (3.0, 2.0)}, "lowest <= highest"),
        (UNET, {"teacher": "t", "guidance": (2.0, 2.0)}, "without conditions"),
        (UNET.clone(reads_guidance=True), {"teacher": "t"}, "which it would learn"),
        (UNET, {"no_step": 0.7, "to_clean": 0.5}, "at most 1"),
        (UNET, {"power": 2.0}, "power=2.0"),
    ],
)
def test_what_contradicts_is_refused(network, settings, message):
    with pytest.raises(ValueError, match=message):
        loss_of(network, **settings)


@pytest.mark.slow
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
    assert model.calls_of(jd.DPMpp(2)) == 20
    with pytest.raises(ValueError, match="n=0 calls"):
        model.sample(KEY, 2, calls=0)
    with pytest.raises(ValueError, match=r"DPMpp, which asks .* leave out --solver"):
        check_calls(2, model, jd.DPMpp(2))
    check_calls(1, model, model.solver)
    assert isinstance(sheet_solver(None, UNET), jd.MeanFlow)
    with pytest.raises(ValueError, match="preview_solver MeanFlow"):
        sheet_solver(jd.MeanFlow(), plain)
    with pytest.raises(ValueError, match="no loss that trains it"):
        dataclasses.replace(student, loss=None)
    with pytest.raises(ValueError, match="reads_span=True"):
        teacher.sample(KEY, 2, solver=jd.MeanFlow(), calls=2)
