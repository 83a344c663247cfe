"""Parts of a person's own in a config file: trained, resumed, loaded, sampled, packed, exported and tuned from outside."""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from child_process import python
from exact_models import Gaussian, exact

import jaxdiff as jd
from jaxdiff.commands import export, generate, pack, tune
from jaxdiff.commands.restoration.options import method_named
from jaxdiff.config import load_config, override
from jaxdiff.interop import load_sampler
from jaxdiff.physics.camera import Camera
from jaxdiff.tasks import restore
from jaxdiff.training.loop import train
from jaxdiff.training.restore import steps

PARTS = """
from dataclasses import dataclass
from typing import Any, Callable, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax

import jaxdiff as jd
from jaxdiff.data.dataset import Dataset, finish, hold_out
from jaxdiff.data.decoded import Normalised
from jaxdiff.data.info import DataInfo
from jaxdiff.data.maps import Linear
from jaxdiff.data.sources.source import Memory
from jaxdiff.process.gaussian import namespace


class Mixer(nn.Module):
    \"\"\"A small MLP-mixer: over the pixels, then over the channels.\"\"\"

    width: int = 8
    \"\"\"Channels inside.\"\"\"
    image_channels: int = 0
    patch_multiple: int = 4
    act: Callable[[Any], Any] = nn.gelu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, lam, cond=None, train=False):
        h = x.reshape(len(x), -1, x.shape[-1])
        if self.image_channels:
            image = cond["image"] if cond else jnp.zeros((*x.shape[:-1], self.image_channels + 1))
            h = jnp.concatenate([h, image.reshape(*h.shape[:2], -1)], -1)
        h = nn.Dense(self.width, dtype=self.dtype)(h) + nn.Dense(self.width)(lam[:, None])[:, None]
        h = h + nn.Dense(h.shape[1])(self.act(h).swapaxes(1, 2)).swapaxes(1, 2)
        return nn.Dense(x.shape[-1])(self.act(h)).reshape(x.shape)


class Cosine(jd.Schedule):
    \"\"\"Straight in lam, and of the name of one of ours.\"\"\"

    low: float = -5.0
    high: float = 5.0
    lam_min = property(lambda self: self.low)
    lam_max = property(lambda self: self.high)

    def lam(self, t):
        return self.high + namespace(t).asarray(t) * (self.low - self.high)

    def time(self, lam):
        return (namespace(lam).asarray(lam) - self.high) / (self.low - self.high)


@dataclass(frozen=True)
class Power:
    power: float = 1.0
    \"\"\"Of the noise.\"\"\"
    per: ClassVar[str] = "draw"

    def __call__(self, lam):
        return jnp.exp(-self.power * jnp.abs(lam))


@dataclass(frozen=True)
class Root:
    \"\"\"Linear up to `size`, logarithmic above.\"\"\"

    size: float = 100.0

    def forward(self, u):
        return 3 * np.arcsinh(u / self.size)

    def inverse(self, m):
        return self.size * namespace(m).sinh(m / 3)

    def log_slope(self, u):
        return np.log(3 / self.size) - 0.5 * np.log1p((u / self.size) ** 2)


@dataclass(frozen=True)
class Stripes(Normalised):
    \"\"\"Colour images of stripes.\"\"\"

    num: int = 12
    channels: int = 1

    def open(self, patch, seed, normaliser=None) -> Dataset:
        rng = np.random.default_rng(0)
        images = rng.gamma(2.0, 100.0, (self.num, *patch, self.channels)).astype(np.uint16)
        source = Memory(images, DataInfo(channel_names=tuple("RGB"[: self.channels])))
        train, held = hold_out(source, [str(i) for i in range(self.num)], patch, 0.25, None, seed)
        return finish(train, held, self.map, normaliser)


@dataclass(frozen=True)
class Colourise:
    \"\"\"RGB from grey.\"\"\"

    weights: tuple[float, ...] = (0.3, 0.6, 0.1)
    task: ClassVar[str] = "colourise"

    def fit(self, source):
        return self

    def prepare(self, record):
        return record

    def draw(self, patch, rng):
        return {"image": patch["image"], "input": (patch["image"] @ np.array(self.weights))[..., None].astype(np.float32)}

    def infos(self, info, inputs=None):
        return info, info.replace(channel_names=("grey",), dtype="float32")

    def maps(self, map):
        return map, Root(50.0)


@dataclass(frozen=True)
class Sgd:
    rate_of_learning: float = 1e-2

    def build(self):
        return optax.sgd(self.rate_of_learning, momentum=0.9)


class Euler(jd.Solver):
    order = 1

    def update(self, denoise, x, at, to, noise, memory):
        x0 = denoise(x, at.lam)
        return to.alpha * x0 + to.sigma / at.sigma * (x - at.alpha * x0), memory
"""

CONFIG = """
from strange_kit.parts import Colourise, Cosine, Euler, Mixer, Power, Root, Sgd, Stripes
from jaxdiff.config import TrainConfig
from jaxdiff.training.cadence import Every

config = TrainConfig(
    name="own", data=Stripes(normalise=Root()), patch=(8, 8), network=Mixer(), schedule=Cosine(), weighting=Power(),
    optimizer=Sgd(), preview_solver=Euler(), previews=1, validation_images=4, steps=5, batch_size=4, log_every=1,
    checkpoint=Every(),
)
"""
KEY = jax.random.key(0)


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """One folder of compiled programs: a resumed run and a finer one are those of before."""
    options = {"jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled"))}
    options["jax_persistent_cache_min_compile_time_secs"] = 0
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a package `strange_kit`, a config that takes its parts, and one that defines them itself."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "site" / "strange_kit").mkdir(parents=True)
    (folder / "site" / "strange_kit" / "parts.py").write_text(PARTS)
    (folder / "packaged.py").write_text(CONFIG)
    (folder / "alone.py").write_text(PARTS + CONFIG.replace("from strange_kit.parts import Col", "# Col", 1))
    sys.path.insert(0, str(folder / "site"))
    yield folder
    sys.path.remove(str(folder / "site"))


def forget():
    """As a new process, that has imported none of the person's code."""
    for name in [name for name in sys.modules if name.startswith(("strange_kit", "jaxdiff_config_"))]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def run(home):
    """A run of images alone with parts of a package: 3 steps, then 2 more by the same config file read again."""
    runs = str(home / "runs")
    assert train(replace(load_config(home / "packaged.py"), steps=3, out=runs)).is_dir()
    forget()
    folder = train(replace(load_config(home / "packaged.py"), out=runs))
    forget()
    return folder


@pytest.fixture(scope="module")
def conditional(home):
    """A run of the person's own pairs, by a config file that holds their classes."""
    config = load_config(home / "alone.py")
    parts = sys.modules["jaxdiff_config_alone"]
    other = {"pairs": parts.Colourise(), "network": parts.Mixer(image_channels=1), "data": parts.Stripes(channels=3)}
    config = replace(config, name="colour", **other, previews=0, validation_images=0, out=str(home / "runs"))
    train(replace(config, steps=1))
    folder = train(replace(config, steps=2))
    forget()
    return folder


def test_it_is_stored_by_place_and_resumed(run):
    stored = json.loads((run / "run.json").read_text())
    assert stored["config"]["network"]["type"] == "strange_kit.parts:Mixer"
    assert stored["config"]["schedule"] == {"type": "strange_kit.parts:Cosine", "low": -5.0, "high": 5.0}
    assert stored["normaliser"]["map"] == {"type": "strange_kit.parts:Root", "size": 100.0}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = {row["step"]: row["loss"] for row in rows if "loss" in row}
    assert sorted(losses) == [1, 2, 3, 4, 5]
    assert np.isfinite(list(losses.values())).all()
    assert not any("learning_rate" in row for row in rows)  # this optimiser has no `rate`
    assert (run / "samples" / "step_00000005.png").is_file()


def test_without_permission_it_is_refused_and_nothing_is_imported(run):
    forget()
    for allow in ((), "elsewhere"):
        with pytest.raises(
            ValueError, match=r"strange_kit\.parts:Stripes; expected parts of jaxdiff.*--allow strange_kit"
        ):
            jd.load(run, allow=allow)
    assert "strange_kit" not in sys.modules


def test_it_loads_and_samples(run):
    model = jd.load(run, allow="strange_kit")
    assert (type(model.schedule).__module__, model.schedule.low) == ("strange_kit.parts", -5.0)
    assert type(model.network).__name__ == "Mixer"
    assert model.classes == 0
    images = model.sample(KEY, 2, calls=3).images
    assert images.shape == (2, 8, 8, 1)
    assert np.isfinite(images).all()
    grey = np.array([0.0, 7.0, 300.0])[:, None]
    np.testing.assert_allclose(model.normaliser.inverse(model.normaliser.forward(grey)), grey, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_commands_take_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        generate.main(["--run", str(run), "--num", "2", "--out", "out", "--allow", "strange_kit", "--batch", "2"]) == 0
    )
    assert len(list(Path("out").glob("*.tif"))) == 2
    forget()
    assert pack.main([str(run), "--out", "packed"]) == 0  # copies what it says, without its code
    assert "strange_kit" not in sys.modules
    images = [jd.load(one, allow=["strange_kit"]).sample(KEY, 1, calls=2).images for one in (run, "packed")]
    np.testing.assert_allclose(*images, atol=0.02 * np.ptp(images[0]))
    assert export.main([str(run), "--out", "own.zip", "--platforms", "cpu", "--allow", "strange_kit"]) == 0
    forget()
    assert np.isfinite(load_sampler("own.zip")(0, np.arange(2))).all()
    assert "strange_kit" not in sys.modules
    few = ["--nfe", "2", "--examples", "8", "--unseen", "2", "--teacher", "20", "--iterations", "1"]
    assert tune.main([str(run), *few, "--allow", "strange_kit"]) == 0
    assert jd.load(run, allow="strange_kit").tuned(2).calls == 2


def test_grids_of_several_lengths_share_a_padded_program_of_own_parts(run, home):
    model = jd.load(run, allow="strange_kit")
    euler = sys.modules["strange_kit.parts"].Euler()

    def images(calls, rows=None):
        grid = jd.grids.uniform_lam(model.schedule, calls)
        return jd.sample(KEY, model.denoise, shape=(8, 8, 1), num=2, solver=euler, grid=grid, rows=rows).images

    images(3, rows=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(euler), "update", None)  # nothing is traced again
        padded = {calls: images(calls, rows=6) for calls in (3, 4, 6)}
    for calls, of_grid in padded.items():
        np.testing.assert_allclose(of_grid, images(calls), atol=1e-5)


PAIRS = """
config = dataclasses.replace(
    config, name="killed", data=Stripes(channels=3), pairs=Colourise(), network=Mixer(image_channels=1), previews=0,
    validation_images=0, checkpoint=Every(steps=2),
)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_workers_read_own_data_and_pairs_and_a_killed_run_ends_as_one_without(home, compiled_once):
    path, runs = home / "pairs.py", home / "runs"
    path.write_text("import dataclasses\n" + (home / "alone.py").read_text() + PAIRS)
    rows = runs / "killed" / "metrics.jsonl"
    cache = {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    command = ("train.py", path, "--workers", "2", "--steps", "100000", "--out", runs)
    root = Path(jd.__file__).parents[1]
    with python(
        root / command[0], *command[1:], cwd=home, env={**os.environ, **cache, "JAX_PLATFORMS": "cpu"}
    ) as child:
        ends = time.monotonic() + 300
        while not rows.exists() or rows.read_bytes().count(b"\n") < 5:
            assert child.poll() is None, child.communicate()[1][-2000:]
            assert time.monotonic() < ends
            time.sleep(0.05)
        child.kill()
    reached = max(steps(rows.parent / "checkpoints"))
    config = replace(load_config(path), steps=reached + 3, out=str(runs))
    killed, undisturbed = train(config), train(replace(config, name="undisturbed"))
    forget()
    results = [jax.tree.leaves(jd.load(one, allow=path).denoise) for one in (killed, undisturbed)]
    assert len(results[0]) > 5
    jax.tree.map(np.testing.assert_array_equal, *results)
    logs = [
        [json.loads(line) for line in (one / "metrics.jsonl").read_text().splitlines()] for one in (killed, undisturbed)
    ]
    assert [row["step"] for row in logs[0]] == list(range(1, reached + 4))
    assert [row["loss"] for row in logs[0]] == [row["loss"] for row in logs[1]]


def test_a_fine_tuned_run_starts_from_it(run, home):
    config = load_config(home / "packaged.py")
    folder = train(replace(config, name="finer", steps=1, previews=0, init_from=str(run), out=str(home / "runs")))
    assert jd.load(folder, allow="strange_kit").step == 1


def test_own_pairs_are_a_task(conditional, home):
    with pytest.raises(ValueError, match=r'allow=\("path/alone.py",\)\), or --allow path/alone.py'):
        jd.load(conditional)
    model = jd.load(conditional, allow=home / "alone.py")
    assert model.pairing.pairs.task == "colourise"
    assert type(model.inputs.normaliser.map).__name__ == "Root"
    grey = np.random.default_rng(1).gamma(2.0, 100.0, (10, 9, 1)).astype(np.float32)
    result = jd.tasks.translate(KEY, model, grey, samples=2, calls=2)
    assert result.image.shape == (10, 9, 3)
    assert np.isfinite(result.std).all()
    with pytest.raises(
        ValueError, match=r"trained to colourise; expected one to denoise; to fix: use jd\.tasks\.translate"
    ):
        jd.tasks.denoise(KEY, model, grey)


def test_another_class_does_not_resume_the_run(run, home):
    config = load_config(home / "packaged.py")
    other = replace(config, schedule=jd.Cosine(), out=str(home / "runs"), steps=6)
    with pytest.raises(ValueError, match=r"(?s)schedule: strange_kit.parts:Cosine in the run, Cosine now"):
        train(other)


@pytest.mark.parametrize("name", ["os:system", "planted:Mixer", "planted.py:Mixer", "Popen", "subprocess:Popen"])
@pytest.mark.parametrize("field", ["network", "schedule", "data", "pairs", "optimizer", "preview_solver"])
def test_a_run_that_names_other_code_executes_nothing(run, tmp_path, monkeypatch, name, field):
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path, tmp_path / "packed"):
        place.mkdir(exist_ok=True)
        (place / "planted.py").write_text("raise AssertionError('executed')")
    stored = json.loads((run / "run.json").read_text())
    stored["config"][field] = {"type": name, "command": "touch here"}
    (tmp_path / "packed" / "run.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=name):
        jd.load(tmp_path / "packed", allow="strange_kit")
    assert "planted" not in sys.modules


def test_fields_of_own_parts_are_options(home, capsys):
    config = override(
        load_config(home / "packaged.py"),
        ["--network.width", "4", "--schedule.low", "-4", "--data.normalise.size", "50", "--weighting.power", "2"],
    )
    assert (config.network.width, config.schedule.low, config.weighting.power) == (4, -4.0, 2.0)
    assert config.data.normalise.size == 50.0
    assert type(config.data).__name__ == "Stripes"
    with pytest.raises(SystemExit):
        override(config, ["--help"])
    assert "Of the noise" in capsys.readouterr().out


def test_parts_that_cannot_work_are_refused_at_once(home):
    config = load_config(home / "packaged.py")
    kit = sys.modules["strange_kit.parts"]
    for fields, message in (
        ({"patch": (8, 6)}, r"got patch=\(8, 6\) for a Mixer of patch_multiple 4; .*--patch 8 8"),
        ({"data": kit.Power()}, r"got data of type Power without open"),
        ({"network": kit.Mixer}, r"got network, the class Mixer; .*to fix: network=Mixer\(…\)"),
        ({"weighting": kit.Sgd()}, r"got weighting of type Sgd without __call__, per"),
        ({"preview_solver": "euler"}, r"got preview_solver='euler'; expected package\.module:Class"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(config, **fields)
    with pytest.raises(ValueError, match=r"got preview_solver of type Power, no solver"):
        train(replace(config, preview_solver="strange_kit.parts:Power"))


def test_a_posterior_method_by_place(tmp_path):
    path = tmp_path / "methods.py"
    path.write_text(
        "from jaxdiff.guidance.posterior import DiffPIR\n\n\ndef mine(denoise, measurement):\n"
        "    return DiffPIR(denoise, measurement)\n"
    )
    method = method_named(f"{path}:mine")
    model, camera = exact(Gaussian(0.0, 0.0, 1.0)), Camera(gain=1e-6, read_noise=1e7)
    recording = np.random.default_rng(0).normal(100, 20, (8, 8, 1))
    own, ours = (restore(KEY, model, recording, None, camera, 2, calls=2, method=one) for one in (method, "diffpir"))
    assert own.method == "mine"
    np.testing.assert_array_equal(own.samples, ours.samples)
    for name, message in (("mine", "expected one of diffpir"), (f"{path}:other", "has no other"), ("os:sep", "called")):
        with pytest.raises(ValueError, match=message):
            method_named(name)
