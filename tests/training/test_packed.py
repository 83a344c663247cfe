"""A run packed into two small files: the same denoiser up to float16, and nothing but numbers is read back."""

import io
import json
import os
import shutil

import jax
import numpy as np
import pytest
from tiny_run import SHAPE, tiny_run

import jaxdiff as jd
from jaxdiff import script
from jaxdiff.cli import COMMANDS
from jaxdiff.data.dataset import finish
from jaxdiff.data.files.write import write_image
from jaxdiff.data.info import DataInfo
from jaxdiff.data.pairs import Segmentation, paired
from jaxdiff.data.sources.source import Memory
from jaxdiff.denoiser import bind
from jaxdiff.nn import condition
from jaxdiff.training import packed
from jaxdiff.training.packed import NAME, is_packed, pack, unpack
from jaxdiff.training.restore import restore_step

STEP = 7
INFO = DataInfo(channel_names=("DAPI",), pixel_size={"Y": 0.65, "X": 0.65}, unit="µm")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that segments, with random weights."""
    rng = np.random.default_rng(0)
    images = rng.integers(100, 4000, (4, 16, 16, 1)).astype(np.uint16)
    masks = np.zeros((4, 16, 16), np.int32)
    masks[:, 4:12, 3:9] = 1
    source = Memory(images, INFO, masks)
    data = paired(finish(source, source, "asinh"), Segmentation())
    return tiny_run(tmp_path_factory.mktemp("runs") / "tiny", STEP, data)


@pytest.fixture(scope="module")
def small(run, tmp_path_factory):
    return pack(run, tmp_path_factory.mktemp("packed") / "tiny")


def test_it_is_two_files_that_know_what_the_run_knew(run, small):
    assert sorted(path.name for path in small.iterdir()) == [NAME, "run.json"]
    there, here = (json.loads((folder / "run.json").read_text()) for folder in (run, small))
    assert is_packed(small, here)
    assert not is_packed(run, there)
    assert {**here, "config": {}} == {**there, "config": {}, "step": STEP}
    assert {**here["config"], "out": there["config"]["out"]} == there["config"]
    assert str(run.parent) not in (small / "run.json").read_text()  # where it was trained is nobody's business
    old, new = jd.load(run), jd.load(small)
    for name in ("network", "schedule", "shape", "normaliser", "info", "pairing", "step"):
        assert getattr(new, name) == getattr(old, name), name
    assert new.run == small


def test_parameters_are_rounded_to_float16(run, small):
    original, stored = restore_step(run)[1], unpack(small)
    assert jax.tree.structure(original) == jax.tree.structure(stored)
    for before, after in zip(jax.tree.leaves(original), jax.tree.leaves(stored)):
        assert after.dtype == np.float32
        # Half a unit of the last of 11 bits; below 2^-14 half of the smallest number, 2^-24.
        np.testing.assert_array_less(np.abs(after - before), 2.0**-11 * np.abs(before) + 2.0**-25 + 1e-30)
        np.testing.assert_array_equal(after, before.astype(np.float16))


def test_the_denoiser_is_that_of_the_rounded_parameters(run, small):
    rng = np.random.default_rng(1)
    x, image = (rng.normal(size=SHAPE).astype(np.float32) for _ in range(2))
    cond = condition(image=image)
    old, new = jd.load(run), jd.load(small)
    variables = jax.tree.map(lambda leaf: np.float32(np.float16(leaf)), restore_step(run)[1])
    rounded = bind(old.network, variables, "v")
    call = jax.jit(lambda weights, lam: new.denoise.__class__.__call__(weights, x, lam, cond))
    for lam in (-3.0, 0.0, 3.0):
        got = np.asarray(call(new.denoise, lam))
        np.testing.assert_array_equal(got, call(rounded, lam))
        # The rounding of single weights, 2^-11 at most, is random: all together they move D by not much more.
        moved = np.asarray(call(old.denoise, lam)) - got
        assert 0 < np.sqrt(np.mean(moved**2)) < 8 * 2.0**-11 * np.sqrt(np.mean(got**2))


def test_float32_keeps_every_bit(run, tmp_path):
    whole = pack(run, tmp_path / "whole", STEP, "float32")
    jax.tree.map(np.testing.assert_array_equal, unpack(whole), restore_step(run)[1])


def test_what_cannot_be_packed(run, small, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="not empty; expected a new folder"):
        pack(run, small)
    with pytest.raises(FileNotFoundError, match="step 8"):
        pack(run, tmp_path / "a", step=8)
    large = {"params": {"Dense": {"kernel": np.array([1.0, 7e4], np.float32)}}}
    monkeypatch.setattr(packed, "average", lambda run, step, length: (1, large))
    with pytest.raises(ValueError, match=r"params/Dense/kernel up to 70000; expected what float16 holds"):
        pack(run, tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (lambda path: path.mkdir(), "it is no file"),
        (os.mkfifo, "it is no file"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "without its params.npz; expected run.json and params.npz"),
        (lambda path: None, "without its params.npz; expected run.json and params.npz"),
    ],
)
def test_a_packed_model_whose_parameters_are_no_file_is_not_taken_for_a_run(small, tmp_path, place, words):
    shutil.copy(small / "run.json", tmp_path)
    place(tmp_path / NAME)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        jd.load(tmp_path)
    assert "checkpoint" not in str(caught.value)


@pytest.mark.parametrize("kind", ["int8", "uint64", "float64"])
def test_numbers_of_another_type_than_parameters_have_are_refused(small, tmp_path, kind):
    other = tmp_path / "other"
    shutil.copytree(small, other)
    with np.load(small / NAME) as stored:
        arrays = dict(stored)
    name = sorted(arrays)[0]
    np.savez_compressed(other / NAME, **{**arrays, name: arrays[name].astype(kind)})
    with pytest.raises(ValueError, match=f"{NAME}: {name} of {kind}; expected float16 or float32, .*; to fix"):
        jd.load(other)


def npz(**arrays) -> bytes:
    data = io.BytesIO()
    np.savez(data, **arrays)
    return data.getvalue()


def npy(array) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


class Evil:
    """Unpickled, it says so."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", npy(np.ones(3)), npz(a=np.array([Evil()], dtype=object)), npz(a=np.array(["text"]))],
    ids=["empty", "cut", "no zip", "objects", "text"],
)
def test_no_file_of_arrays(small, tmp_path, content):
    folder = shutil.copytree(small, tmp_path / "copy")
    (folder / NAME).write_bytes(content)
    with pytest.raises(ValueError, match=f"{NAME}, which cannot be read .*; to fix: copy it again"):
        jd.load(folder)


def test_damage_is_noticed(small, tmp_path):
    whole, rng = (small / NAME).read_bytes(), np.random.default_rng(0)
    expected = unpack(small)
    folder = tmp_path / "copy"
    folder.mkdir()
    noticed = 0
    for place in rng.integers(0, len(whole), 40):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        (folder / NAME).write_bytes(damaged)
        try:
            found = unpack(folder)
        except ValueError:
            noticed += 1
        else:
            jax.tree.map(np.testing.assert_array_equal, found, expected)  # it was a date, say
    assert noticed > 20
    (folder / NAME).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        unpack(folder)


def test_the_commands_pack_and_sample(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    assert script.run(COMMANDS["pack"], [str(run), "--out", str(tmp_path / "small")], "jaxdiff pack") == 0
    assert "MB of parameters" in capsys.readouterr().out
    write_image(tmp_path / "in" / "a.ome.tif", np.full((8, 8, 1), 700, np.uint16), INFO)
    args = [
        "--run",
        tmp_path / "small",
        "--input",
        tmp_path / "in",
        "--out",
        tmp_path / "out",
        "--samples",
        1,
        "--calls",
        1,
    ]
    assert script.run(COMMANDS["sample"], ["segment", *map(str, args)], "sample.py") == 0
    assert (tmp_path / "out" / "a_labels.ome.tif").is_file()
