"""An exported sampler: the images of `model.sample`, from a Python that cannot import this package."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_models import Gaussian, exact
from jax import export as jax_export
from tiny_run import NETWORK, SHAPE, tiny_run

import jaxdiff as jd
from jaxdiff import script
from jaxdiff.cli import COMMANDS
from jaxdiff.data.normalise import Normaliser
from jaxdiff.interop import export_sampler, load_sampler
from jaxdiff.interop.export import PLATFORMS, portable

DOCS = Path(__file__).parents[2] / "docs"
SEED, CALLS, GUIDANCE = 5, 4, 2.0
NOISY = jd.DPMpp(order=2, eta=1.0)

ALONE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jaxdiff", "flax", "diffrax", "equinox", "optax", "orbax"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
{readme}
for b in (1, 3, 8):
    cond = {{"label": (np.arange(b) % 4 - 1).astype(np.int32)}}
    np.save(f"images_{{b}}.npy", sampler(weights, np.uint32({seed}), np.arange(b, dtype=np.int32), cond))

P = jax.sharding.PartitionSpec
mesh = jax.sharding.Mesh(np.array(jax.devices()), ("image",))
specs = (P(), P(), P("image"), P("image"))
spread = jax.jit(jax.shard_map(sampler, mesh=mesh, in_specs=specs, out_specs=P("image"), check_vma=False))
cond = {{"label": (np.arange(16) % 4 - 1).astype(np.int32)}}
arguments = (weights, np.uint32({seed}), np.arange(16, dtype=np.int32), cond)
compiled = spread.lower(*arguments).compile()
np.save("images_spread.npy", compiled(*arguments))
assert "all-" not in compiled.as_text()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module")
def model(run):
    return jd.load(run)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """The file that the command writes: guided, stochastic, all platforms."""
    out = tmp_path_factory.mktemp("exported") / "tiny.zip"
    options = ["--out", out, "--calls", CALLS, "--eta", NOISY.eta, "--guidance", GUIDANCE]
    assert script.run(COMMANDS["export"], [str(option) for option in (run, *options)], "jaxdiff export") == 0
    return out


def expected(model, num, first=0, **options):
    labels = (first + np.arange(num)) % 4 - 1
    cond = model.condition(num, labels)
    return np.asarray(model.sample(jax.random.key(SEED), num, calls=CALLS, first=first, cond=cond, **options).images)


def test_runs_alone_for_any_number_of_images_on_any_number_of_devices(model, exported):
    readme = zipfile.ZipFile(exported).read("README.md").decode()
    code = ALONE.format(readme=re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1], seed=SEED)
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    child = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        cwd=exported.parent,
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr[-4000:]
    whole = expected(model, 16, solver=NOISY, guidance=GUIDANCE)
    size = whole.std()
    for b in (1, 3, 8):
        images = np.load(exported.parent / f"images_{b}.npy")
        assert images.dtype == np.float32
        np.testing.assert_allclose(images / size, whole[:b] / size, atol=1e-5, rtol=1e-5)
    spread = np.load(exported.parent / "images_spread.npy")
    np.testing.assert_allclose(spread / size, whole / size, atol=1e-5, rtol=1e-5)
    assert np.abs(whole[1:] - whole[:-1]).max(axis=(1, 2, 3)).min() > 0.1 * size


def test_file_says_what_it_is(model, exported):
    with zipfile.ZipFile(exported) as file:
        meta = json.loads(file.read("meta.json"))
        program = file.read("sampler.stablehlo")
        stored = {name: file.getinfo(name).compress_type for name in file.namelist()}
    assert set(stored.values()) == {zipfile.ZIP_STORED}
    assert meta["platforms"] == list(PLATFORMS)
    assert meta["calls"] == CALLS
    assert meta["grid"] == model.grid(CALLS).tolist()
    assert meta["solver"] == {"type": "DPMpp", "order": 2, "eta": 1.0}
    assert meta["guidance"] == GUIDANCE
    assert meta["checkpoint"] == 7
    assert meta["result"] == {"dtype": "float32", "shape": ["b", *SHAPE], "units": "data"}
    assert list(meta["arguments"]) == ["weights", "seed", "index", "cond"]
    assert meta["images"]["axes"] == "YXC"
    assert meta["images"]["pixel_size"] == {"Y": 0.65, "X": 0.65}
    assert meta["images"]["class_names"] == ["round", "long", "bright"]
    assert meta["images"]["synthetic"] is True
    assert Normaliser.from_json(meta["normaliser"]) == model.normaliser
    text = jax_export.deserialize(bytearray(program)).mlir_module()
    assert "callback" not in text
    assert b".py" not in program  # nothing of where it was made
    sizes = [leaf.size for leaf in jax.tree.leaves(model.denoise.params)]
    assert meta["parameters"] - sum(sizes) < 10  # beside the parameters only a scale, an interval, sigma_data
    assert len(program) < 4 * sum(sizes) + 300_000


def test_documentation_shows_the_lines_of_the_file(exported):
    readme = zipfile.ZipFile(exported).read("README.md").decode().replace("tiny.zip", "nuclei.zip")
    assert re.search(r"```python\n.*?```", readme, re.DOTALL)[0] in (DOCS / "export.md").read_text(encoding="utf-8")


def test_other_images_of_the_same_seed_two_calls_a_step_and_model_units(model, tmp_path):
    path, solver = tmp_path / "sampler.zip", jd.EDMHeun()
    meta = export_sampler(model, path, calls=CALLS, solver=solver, units="model", platforms=["cpu"])
    file = np.load(path)
    weights = {name: file[name] for name in file.files if name.startswith("weights/")}
    sampler = jax.jit(jax_export.deserialize(bytearray(file["sampler.stablehlo"])).call)
    index = np.arange(6, 9, dtype=np.int32)
    images = sampler(weights, np.uint32(SEED), index, {"label": (index % 4 - 1).astype(np.int32)})
    data = expected(model, 3, first=6, solver=solver)
    np.testing.assert_allclose(images, model.normaliser.forward(data), atol=1e-5)
    assert meta["calls"] == 2 * CALLS - 1
    assert meta["result"]["units"] == "model"


@pytest.mark.parametrize("map", ["linear", "asinh", "anscombe"])
def test_data_units_in_a_program_are_those_of_numpy(map):
    rng = np.random.default_rng(0)
    normaliser = Normaliser.fit([rng.gamma(0.5, 900.0, (64, 64, 2)) + 100.0], map)
    z = rng.normal(0.0, 2.0, (5, 6, 2)).astype(np.float32)
    inside = jax.jit(normaliser.inverse)(z)
    assert inside.dtype == jnp.float32
    np.testing.assert_allclose(inside, normaliser.inverse(z), rtol=2e-6, atol=1e-3)


def test_same_sampler_is_the_same_bytes(model, tmp_path):
    files = [tmp_path / folder / "same.zip" for folder in ("a", "b")]
    for file in files:
        export_sampler(model, file, calls=2, platforms=["cpu"])
    assert files[0].read_bytes() == files[1].read_bytes()


def test_cudnn_attention_becomes_plain(model):
    network = NETWORK.clone(dtype="bfloat16", attention_implementation="cudnn")
    with pytest.warns(UserWarning, match="cuDNN"):
        denoise = portable(jd.guidance.classifier_free(jd.bind(network, model.denoise.params))).denoise
    assert denoise.network == network.clone(attention_implementation=None)
    assert jax.tree.structure(portable(model.denoise)) == jax.tree.structure(model.denoise)


def test_what_cannot_be_exported_is_said_and_leaves_nothing(model, tmp_path, monkeypatch):
    there = tmp_path / "there.zip"
    there.write_bytes(b"mine")
    for path, options, words in [
        (there, {}, "exists"),
        (tmp_path / "sampler.npz", {}, "sampler.zip"),
        (tmp_path / "a.zip", {"platforms": ["gpu"]}, "cuda"),
        (tmp_path / "a.zip", {"platforms": []}, "cuda"),
        (tmp_path / "a.zip", {"units": "grey"}, "'data'"),
        (tmp_path / "a.zip", {"grid": np.array([1.0, 0.0])}, "strictly rising"),
    ]:
        with pytest.raises(ValueError, match=words):
            export_sampler(model, path, **options)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"jaxdiff\[export\]"):
        export_sampler(model, tmp_path / "a.zip")
    assert (
        script.run(COMMANDS["export"], [str(tmp_path / "no_run"), "--out", str(tmp_path / "a.zip")], "jaxdiff export")
        == 2
    )
    assert [path.name for path in tmp_path.iterdir()] == ["there.zip"]
    assert there.read_bytes() == b"mine"


class Averaged(jd.guidance.Remembering):
    """D mixed with what it was before."""

    denoise: jd.Denoiser

    def memory(self, x):
        return jnp.zeros_like(x)

    def update(self, x, lam, cond, memory, step):
        x0 = self.denoise(x, lam, cond)
        x0 = jnp.where(step == 0, x0, 0.5 * x0 + 0.5 * memory)
        return x0, x0


def test_a_guidance_with_a_memory_is_exported(tmp_path):
    model = exact(Gaussian(0.0, 0.0, 1.0))
    images = model.sample(jax.random.key(0), 2, calls=4, guidance=Averaged).images
    export_sampler(model, tmp_path / "a.zip", calls=4, guidance=Averaged, platforms=("cpu",))
    np.testing.assert_allclose(load_sampler(tmp_path / "a.zip")(0, np.arange(2)), images, rtol=1e-5, atol=1e-3)
