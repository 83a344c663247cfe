"""A loop of one's own, as docs/training.md shows it: saved, loaded, sampled; what could not be loaded again is refused."""

import contextlib
import json
import re
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest

import jaxdiff as jd
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.training.fine_tune import start_from
from jaxdiff.training.loop import train
from jaxdiff.training.packed import pack
from jaxdiff.training.restore import steps

TEXT = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
LOOP, GOES_ON = re.findall(
    r"^```python\n(.*?)^```", TEXT.split("\n## A loop of your own\n")[1], re.MULTILINE | re.DOTALL
)[:2]
SHORTER = {
    "jd.UNet(width=32, multipliers=(1, 2), attention=(False, True))": "UNET",
    "range(1, 101)": "range(1, 6)",
    "n % 50 == 0": "n in (3, 5)",
    "size=16": "size=4",
}
UNET = jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,))
WHAT = {"shape": (16, 16, 1), "predicts": "v", "schedule": jd.Cosine()}
IMAGES = np.random.default_rng(0).gamma(2.0, 200.0, (8, 16, 16, 1))
OPTIMIZER = optax.adamw(1e-3)


@pytest.fixture(scope="module")
def fresh():
    """A state that no step has changed."""
    return jd.TrainState.create(jax.random.key(0), UNET, OPTIMIZER, {"image": IMAGES[:1]})


@pytest.fixture(scope="module")
def looped(tmp_path_factory):
    """(folder, names) of the loop in docs/training.md, of five steps, saved at the third and the fifth."""
    code, names = LOOP, {"UNET": UNET}
    for before, after in SHORTER.items():
        assert before in code
        code = code.replace(before, after)
    folder = tmp_path_factory.mktemp("loop")
    with contextlib.chdir(folder):
        exec(compile(code, "docs/training.md", "exec"), names)
    return folder / "runs" / "mine", names


def test_it_loads_and_samples_in_units_of_the_data(looped):
    folder, names = looped
    assert steps(folder / "checkpoints") == [3, 5]
    model, out = names["model"], names["out"]
    assert model.step == 5
    jax.tree.map(np.testing.assert_array_equal, model.denoise.params, names["state"].ema)
    grid = jd.grids.uniform_lam(jd.Cosine(), 10)
    what = {"shape": (16, 16, 1), "num": 4, "solver": jd.DPMpp(2), "grid": grid}
    normal = jd.sample(jax.random.key(2), model.denoise, **what).images
    np.testing.assert_allclose(out.images, names["normaliser"].inverse(np.asarray(normal)), rtol=1e-3, atol=1.0)
    assert jd.load(folder, step=3).step == 3


def test_the_loop_goes_on_where_it_stood(looped):
    folder, names = looped
    again = {"state": jax.tree.map(np.zeros_like, names["state"])}
    with contextlib.chdir(folder.parents[1]):
        exec(compile(GOES_ON, "docs/training.md", "exec"), again)
    jax.tree.map(np.testing.assert_array_equal, again["state"], jax.device_get(names["state"]))


def test_it_is_packed_and_fine_tuned_and_no_config_goes_on_with_it(looped, tmp_path, config):
    folder, names = looped
    packed = jd.load(pack(folder, tmp_path / "packed"))
    assert (packed.step, packed.shape) == (5, (16, 16, 1))
    tuned = start_from(jax.tree.map(np.zeros_like, names["state"]), folder, "v")
    jax.tree.map(np.testing.assert_array_equal, tuned.params, names["state"].ema)
    with pytest.raises(ValueError, match=r"which a loop of one's own made .*to fix: another --name, with --init-from"):
        train(config(name=folder.name, out=str(folder.parent)))


def test_what_is_told_is_known(fresh, tmp_path):
    info = DataInfo(channel_names=("DAPI",), pixel_size={"Y": 0.5, "X": 0.5}, unit="µm", dtype="uint16")
    model = jd.load(jd.save_run(fresh, UNET, tmp_path / "told", **WHAT, info=info))
    assert model.info == info
    assert model.schedule == jd.Cosine()


def test_what_is_not_told_is_unknown_and_images_keep_the_units_of_the_loop(fresh, tmp_path):
    model = jd.load(jd.save_run(fresh, UNET, tmp_path / "bare", **WHAT))
    assert model.info.pixel_size == {"Y": None, "X": None}
    assert model.info.dtype == "float32"
    assert model.levels is None
    np.testing.assert_array_equal(model.normaliser.forward(IMAGES), np.float32(IMAGES))
    volume = jd.TrainState.create(jax.random.key(0), Own(), OPTIMIZER, {"image": np.zeros((1, 2, 4, 4, 2))})
    folder = jd.save_run(volume, Own(), tmp_path / "volume", **{**WHAT, "shape": (2, 4, 4, 2)})
    stored = json.loads((folder / "run.json").read_text())
    assert stored["data"]["axes"] == "ZYXC"
    assert stored["shape"] == [2, 4, 4, 2]
    assert {*stored["config"]} == {"type", "network", "schedule", "predicts", "sigma_data", "patch", "pairs"}


class Own(nn.Module):
    """A network of a person's own."""

    width: int = 4
    multiple: int = 1
    num_classes: int = 0
    image_channels: int = 0

    @nn.compact
    def __call__(self, x, lam, cond=None, train=False):
        return nn.Dense(x.shape[-1])(nn.tanh(nn.Dense(self.width)(x)))


def test_an_own_network_is_loaded_where_it_is_allowed(tmp_path):
    state = jd.TrainState.create(jax.random.key(0), Own(), OPTIMIZER, {"image": IMAGES[:1]})
    folder = jd.save_run(state, Own(), tmp_path / "own", **WHAT)
    with pytest.raises(
        ValueError, match=r"of type test_save_run:Own; expected parts of jaxdiff, or of a package that you"
    ):
        jd.load(folder)
    model = jd.load(folder, allow=(Own,))
    assert model.network == Own()
    assert model.denoise(np.float32(IMAGES[0]), 0.0).shape == (16, 16, 1)


def test_parameters_of_a_loop_without_a_state(fresh, tmp_path):
    variables = jax.tree.map(lambda leaf: leaf + 1, fresh.params)
    model = jd.load(jd.save_run(fresh.with_params(variables), UNET, tmp_path / "plain", **WHAT))
    jax.tree.map(np.testing.assert_array_equal, model.denoise.params, variables)


def nan(tree):
    return jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), tree)


@pytest.mark.parametrize(
    ("changed", "fields", "message"),
    [
        ({}, {"shape": (8, 8)}, r"got shape=\(8, 8\); expected y x channels"),
        ({}, {"shape": (16, 16, 3)}, "leaves that are not the network's"),
        ({}, {"network": UNET.clone(width=4)}, "got another network than the state's"),
        ({}, {"predicts": "noise"}, "predicts"),
        (
            {},
            {"normaliser": Normaliser("linear", (0.0,) * 2, (1.0,) * 2, (0.0,) * 2, (1.0,) * 2)},
            "expected the same axes",
        ),
        ({}, {"info": DataInfo(axes="ZYXC")}, "expected the same axes and channels"),
        ({"ema": nan}, {}, "got ema of the state at step 0 with NaN"),
        (
            {"params": lambda tree: jax.tree.map(lambda a: np.asarray(a, np.float16), tree)},
            {},
            "float16.*expected float32",
        ),
    ],
)
def test_what_could_not_be_loaded_is_refused_and_nothing_is_written(fresh, tmp_path, changed, fields, message):
    state = fresh.replace(**{name: change(getattr(fresh, name)) for name, change in changed.items()})
    options = {**WHAT, "network": UNET, **fields}
    with pytest.raises(ValueError, match=message):
        jd.save_run(state, folder=tmp_path / "no", **options)
    assert not (tmp_path / "no").exists()


def test_no_state_is_said(tmp_path, fresh):
    with pytest.raises(ValueError, match=r"got a dict; expected a TrainState.*with_params"):
        jd.save_run(fresh.params, UNET, tmp_path / "no", **WHAT)


def test_a_folder_of_something_else_and_a_step_that_is_there_are_refused(looped, fresh, tmp_path):
    folder, names = looped
    state = names["state"]
    with pytest.raises(ValueError, match=r"of another run: it differs in .*normaliser"):
        jd.save_run(state, UNET, folder, **WHAT)
    with pytest.raises(ValueError, match=r"got step 5 .* which holds step 5; expected a later one"):
        jd.save_run(state, UNET, folder, **WHAT, normaliser=names["normaliser"])
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"which is not empty and holds no run\.json"):
        jd.save_run(fresh, UNET, tmp_path, **WHAT)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
