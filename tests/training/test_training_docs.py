"""The blocks of docs/training.md run as they stand, on a tiny run; that of a loop of one's own is in test_save_run.py."""

import contextlib
import json
import re
import sys
import types
from dataclasses import replace
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxdiff as jd
from jaxdiff.config import load_config
from jaxdiff.process import alpha, sigma
from jaxdiff.training import PowerEMA, Stratified
from jaxdiff.training.teacher import loss_of

TEXT = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON = FENCE.findall(TEXT)
TINY = jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,))


class Pixelwise(nn.Module):
    """A network that compiles at once."""

    @nn.compact
    def __call__(self, x, lam, cond=None, train=False):
        return nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(4)(x)))


MINE = """
import flax.linen as nn
import jaxdiff as jd
from jaxdiff.data.config import Folder


class Pixelwise(nn.Module):
    @nn.compact
    def __call__(self, x, lam, cond=None, train=False):
        return nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(4)(x)))


config = jd.TrainConfig(
    name="mine", data=Folder({folder!r}), patch=(8, 8), network=Pixelwise(), batch_size=4, steps=2, log_every=1, previews=0,
    validation_images=2,
)
"""


def block(heading: str) -> str:
    """The first Python block below a heading."""
    section = re.split(rf"^##+ {heading}\n", TEXT, flags=re.MULTILINE)[1]
    return FENCE.findall(section)[0]


@pytest.fixture
def mine(tmp_path, image_folder):
    """A working folder with configs/mine.py."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.py").write_text(MINE.format(folder=str(image_folder)))
    with contextlib.chdir(tmp_path):
        yield tmp_path


def test_the_config_file_of_the_first_lines(tmp_path):
    (tmp_path / "nuclei.py").write_text(PYTHON[0])
    assert load_config(tmp_path / "nuclei.py").minutes == 60


def test_a_weighting(tmp_path):
    names = {"__name__": "docs"}
    exec(block("A weighting of your own"), names)
    weighting = names["PlainX0"]()
    loss = jd.DenoisingLoss(lam_sampler=Stratified(jd.Cosine()), predicts="eps", weighting=weighting)
    images = np.random.default_rng(0).standard_normal((4, 4, 4, 1), np.float32)

    class Zero:
        """Predicts ε = 0, that is x0 = x / α."""

        def apply(self, params, x, lam, cond, **_):
            return 0 * x

    value, _ = loss(Zero(), {}, jax.random.key(1), {"image": images}, first=0, total=4)
    key_lam, key_example, _ = jax.random.split(jax.random.key(1), 3)
    by_hand = []
    for i, x0 in enumerate(images):
        lam, _ = Stratified(jd.Cosine())(key_lam, i, 4)
        eps = jax.random.normal(jax.random.split(jax.random.fold_in(key_example, i))[0], x0.shape)
        by_hand.append(jnp.mean(((alpha(lam) * x0 + sigma(lam) * eps) / alpha(lam) - x0) ** 2))
    np.testing.assert_allclose(value, np.mean(by_hand), rtol=1e-4)


def test_consistency_distillation(tmp_path):
    state = jd.TrainState.create(jax.random.key(0), TINY, optax.sgd(0.1), {"image": np.zeros((1, 8, 8, 1))})
    of_teacher = state.replace(step=jnp.int32(20_000))
    what = {"shape": (8, 8, 1), "predicts": "v", "schedule": jd.Cosine()}
    jd.save_run(of_teacher, TINY, tmp_path / "runs" / "teacher", **what)
    (tmp_path / "few_steps.py").write_text(block("A loss of your own"))
    batch = {"image": np.random.default_rng(0).standard_normal((2, 8, 8, 1), np.float32)}
    network = Pixelwise()
    params = network.init(jax.random.key(2), batch["image"], jnp.zeros(2))
    with contextlib.chdir(tmp_path):
        config = replace(load_config("few_steps.py"), network=TINY)  # of the teacher
        values = []
        for h in (0.0, 0.25):
            loss, teacher = loss_of(replace(config, loss=replace(config.loss, h=h)))
            options = {"first": 0, "total": 2, "train": True}

            @jax.jit
            def value(params, average, teacher, loss=loss, options=options):
                return loss(network, params, jax.random.key(1), batch, average=average, teacher=teacher, **options)[0]

            values.append(float(value(params, params, teacher)))
    assert values[0] < 1e-12  # no step of the teacher, and the average is the network
    assert 1e-6 < values[1] < np.inf


def test_metrics_go_to_a_tracker(mine, monkeypatch):
    calls = []
    tracker = types.ModuleType("wandb")
    monkeypatch.setattr(tracker, "init", lambda **options: calls.append(options), raising=False)
    monkeypatch.setattr(tracker, "log", lambda row, step: calls.append((step, row)), raising=False)
    monkeypatch.setitem(sys.modules, "wandb", tracker)
    exec(block("Metrics elsewhere"), {})
    assert calls[0]["id"] == "mine"
    assert [step for step, _ in calls[1:]] == [1, 2, 2]
    assert {"loss", "learning_rate"} <= {*calls[1][1]}
    assert "validation/loss" in calls[3][1]


def test_a_sweep(mine, capsys):
    code = block("A sweep")
    assert "(1e-4, 3e-4, 1e-3)" in code
    exec(code.replace("(1e-4, 3e-4, 1e-3)", "(1e-4, 1e-3)"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["rate_0.0001", "2"], ["rate_0.001", "2"]]
    stored = json.loads((mine / "runs/sweep/rate_0.001/run.json").read_text())
    assert stored["config"]["optimizer"]["learning_rate"] == 1e-3


def test_length_of_the_average():
    asked = []
    names = {"jd": types.SimpleNamespace(load=lambda run, **options: asked.append(options)), "PowerEMA": PowerEMA}
    config, load = PYTHON[-2:]
    exec(config, {**names, "TrainConfig": jd.TrainConfig})
    exec(load, names)
    assert asked == [{"length": 0.08}, {"length": 0.15, "step": 30_000}]


def test_no_block_is_left_out():
    of_loop = re.split(r"^##+ ", TEXT.split("\n## A loop of your own\n")[1], flags=re.MULTILINE)[0]
    headings = ("A weighting of your own", "A loss of your own", "Metrics elsewhere", "A sweep")
    run = [PYTHON[0], *map(block, headings), *FENCE.findall(of_loop), *PYTHON[-2:]]
    assert sorted(run) == sorted(PYTHON)
