"""Losses of a person's own as a part of a config: trained, resumed, loaded; one learns from another run and its average."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.process import alpha, sigma
from jaxdiff.training import Stratified
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.loop import train
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.restore import restore_params

pytestmark = pytest.mark.usefixtures("compiled_once")
UNET = jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,))


def noised(schedule, key, x0, first, total):
    """(x, lam), each example from its own key."""
    lam_key, eps_key = jax.random.split(key)
    index = first + jnp.arange(len(x0))
    lam, _ = jax.vmap(lambda i: Stratified(schedule)(lam_key, i, total))(index)
    eps = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(eps_key, i), x0.shape[1:]))(index)
    return jax.vmap(lambda x0, eps, lam: alpha(lam) * x0 + sigma(lam) * eps)(x0, eps, lam), lam


@dataclass(frozen=True)
class Huber:
    """Huber's loss of the error of x0; the network predicts it."""

    delta: float = 1.0

    def build(self, config):
        assert config.predicts == "x0"

        def loss(network, params, key, batch, *, train, first, total):
            x, lam = noised(config.schedule, key, batch["image"], first, total)
            error = network.apply(params, x, lam, None, train=train, rngs={"dropout": key}) - batch["image"]
            far = jnp.abs(error) > self.delta
            value = jnp.where(far, self.delta * (jnp.abs(error) - 0.5 * self.delta), 0.5 * error**2)
            return jnp.mean(value), {"far": jnp.mean(far), "of_channels": jnp.mean(jnp.abs(error), (0, 1, 2))}

        return loss


@dataclass(frozen=True)
class Follow:
    """The output of another run's network, and a little of the own average: distillation as small as can be."""

    run: Path = Path("none")
    pull: float = 0.1

    def build(self, config):
        self_pull, schedule = self.pull, config.schedule

        def loss(network, params, key, batch, *, train, first, total, average, teacher, step):
            x, lam = noised(schedule, key, batch["image"], first, total)
            ours, slow, aim = (network.apply(p, x, lam) for p in (params, average, teacher))
            value = jnp.mean((ours - aim) ** 2) + self_pull * jnp.mean((ours - slow) ** 2)
            return value, {"number": step}

        return loss

    def load_teacher(self, config):
        return restore_params(self.run)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_own_loss_trains_resumes_loads_and_samples(config):
    run = config(network=UNET, predicts="x0", loss=Huber(0.3), steps=2, log_every=1, validation_images=2)
    folder = train(run)
    train(replace(run, steps=4))
    assert [row["step"] for row in rows(folder) if "loss" in row] == [1, 2, 3, 4]
    assert {"loss", "far", "of_channels/0", "grad_norm"} <= {*rows(folder)[0]}
    assert {"validation/loss", "validation/far"} <= {*rows(folder)[-1]}
    assert TrainConfig.from_json(json.loads((folder / "run.json").read_text())["config"], (Huber,)).loss == Huber(0.3)
    with pytest.raises(ValueError, match=r"loss\.delta: 0\.3 in the run, 0\.4 now"):
        train(replace(run, loss=Huber(0.4), steps=5))
    with pytest.raises(ValueError, match=r"loss: .*Huber in the run, None now"):
        train(replace(run, loss=None, steps=5))
    model = jd.load(folder, allow=(Huber,))
    out = model.sample(jax.random.key(0), 2, calls=3)
    assert out.images.shape == (2, 8, 8, 1)
    assert out.finite.all()


def test_a_loss_learns_from_another_run_and_its_own_average(config):
    first = train(config(name="teacher", steps=2))
    quick = {"batch_size": 8, "optimizer": AdamW(learning_rate=0.02, warmup=1, decay="constant")}
    run = config(name="student", loss=Follow(first), steps=100, log_every=1, validation_images=2, seed=1, **quick)
    seen = []

    def tracker(step, row):
        seen.append({"step": step, **row})
        if step == 5:
            raise ConnectionError("no network")

    with pytest.warns(
        UserWarning, match=r"got ConnectionError \(no network\) from on_metrics .*tracker at step 5; .*the run goes on"
    ):
        folder = train(run, on_metrics=tracker)
    begun = rows(folder)
    assert [{name: float(f"{value:.7g}") for name, value in row.items()} for row in seen] == begun
    of_steps = [row for row in begun if "loss" in row]
    assert [row["number"] for row in of_steps] == list(range(100))
    assert begun[-1]["validation/number"] == 100
    losses = [row["loss"] for row in of_steps]
    assert np.mean(losses[-10:]) < 0.1 * np.mean(losses[:5])  # it comes to do as its teacher does
    # The teacher moves on, and is another one.
    train(config(name="teacher", steps=3))
    with pytest.raises(ValueError, match=r"got a teacher that is not the one .*a fixed checkpoint .*another --name"):
        train(replace(run, steps=101))
    assert rows(folder) == begun


@dataclass(frozen=True)
class Broken:
    """What a loss must not be, by name."""

    kind: str = ""
    teacher_file: str = ""

    def build(self, config):
        if self.kind == "not callable":
            return 3.0
        if self.kind == "teacher":
            return lambda network, params, key, batch, *, train, first, total, teacher: (jnp.zeros(()), {})
        value = jnp.zeros(2) if self.kind == "vector" else jnp.zeros(())
        alone = self.kind == "alone"
        return lambda network, params, key, batch, *, train, first, total: value if alone else (value, {})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("not callable", r"got a float from Broken\.build\(config\); expected a loss"),
        ("teacher", r"got no teacher for the loss .*to fix: a field teacher of Broken"),
        ("vector", r"got float32\[2\] from the loss .*expected a scalar"),
        ("alone", r"got float32\[\] from the loss .*expected \(scalar, dict of metrics\)"),
    ],
)
def test_what_is_no_loss_is_refused_before_anything_is_written(config, kind, message):
    run = config(loss=Broken(kind))
    with pytest.raises(ValueError, match=message):
        train(run)
    assert not run.folder.exists()


@pytest.mark.parametrize("loss", [Huber, "huber", 3])
def test_a_config_takes_an_object_that_builds_a_loss(config, loss):
    with pytest.raises(ValueError, match=r"got loss=.*expected an object with a method build\(config\)"):
        config(loss=loss)


def test_a_teacher_that_is_not_finite_is_refused(config, monkeypatch):
    monkeypatch.setattr(Follow, "load_teacher", lambda self, config: {"w": np.array([1.0, np.nan])})
    run = config(loss=Follow())
    with pytest.raises(ValueError, match=r"got a teacher of Follow with NaN or infinite numbers: 1 in w"):
        train(run)
    assert not run.folder.exists()
