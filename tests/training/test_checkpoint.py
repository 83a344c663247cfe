"""Checkpoints: round trips, damage of every kind, a full disk, what is kept."""

import functools
import os
import shutil
import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.restore import CheckpointError, restore_params, steps
from jaxdiff.training.state import TrainState

OPTIMIZER = AdamW().build()
META = {"loader": {"position": 3}, "rate": 0.1}


@functools.cache
def state(step: int, features: int = 3) -> TrainState:
    """Distinct values everywhere, so that a leaf in a wrong place is seen."""
    image = np.zeros((1, 2, 2, 1), np.float32)
    shapes = TrainState.shapes(jax.random.key(1), Net(features), OPTIMIZER, {"image": image})
    numbers = iter(range(10**6))
    filled = jax.tree.map(lambda a: jnp.asarray(np.full(a.shape, next(numbers) + step, a.dtype)), shapes)
    return filled.replace(step=jnp.int32(step))


class Net(nn.Module):
    features: int = 3

    @nn.compact
    def __call__(self, x, lam, cond=None, train=False):
        return nn.Dense(1)(nn.Dense(self.features)(x))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        for step in (10, 20):
            checkpoints.save(state(step), META)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    shutil.copytree(written, tmp_path / "run/checkpoints")
    return tmp_path / "run/checkpoints"


def assert_state(got, step):
    jax.tree.map(np.testing.assert_array_equal, got, state(step))
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.dtype, b.dtype), got, state(step))


def test_round_trip_into_shapes(folder):
    with Checkpoints(folder) as checkpoints:
        got, meta = checkpoints.restore(jax.eval_shape(lambda: state(0)))
    assert_state(got, 20)
    assert meta == META


def test_parameters_alone(folder):
    run = folder.parent
    jax.tree.map(np.testing.assert_array_equal, restore_params(run), state(20).ema)
    jax.tree.map(np.testing.assert_array_equal, restore_params(run, 10, ema=False), state(10).params)
    with pytest.raises(FileNotFoundError, match=r"step 15 .* expected one of \[10, 20\]"):
        restore_params(run, 15)
    with pytest.raises(FileNotFoundError, match="train the run first"):
        restore_params(run / "nowhere")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


def blank(path):
    path.write_bytes(bytes(path.stat().st_size))


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [cut, flip, blank, remove])
@pytest.mark.parametrize("item", ["params", "ema", "rest", "meta"])
def test_damage_is_found_said_and_stepped_over(folder, item, damage):
    inside = [p for p in (folder / "20" / item).rglob("*") if p.is_file() and p.stat().st_size]
    damage(max(inside, key=lambda p: p.stat().st_size))
    with Checkpoints(folder) as checkpoints:
        with pytest.warns(UserWarning, match="checkpoint 20 is damaged .* going back to 10"):
            got, _ = checkpoints.restore(state(0))
        assert_state(got, 10)
        checkpoints.save(state(20), META, wait=True)  # the run comes by again
        assert_state(checkpoints.restore(state(0))[0], 20)
    assert (folder / "damaged-20").is_dir()


def test_sampling_says_so_too_and_moves_nothing(folder):
    flip(max((folder / "20/ema").rglob("d/*"), key=lambda p: p.stat().st_size))
    with pytest.warns(UserWarning, match="checkpoint 20 .* using an older one"):
        jax.tree.map(np.testing.assert_array_equal, restore_params(folder.parent), state(10).ema)
    with pytest.raises(CheckpointError, match=r"use another step of \[10, 20\]"):
        restore_params(folder.parent, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restore_params(folder.parent, 20, ema=False)  # whole
    assert steps(folder) == [10, 20]


def test_a_description_nested_without_end_is_a_message(folder):
    (folder / "20" / "_CHECKPOINT_METADATA").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match=r"nested without end in .*; to fix: remove the checkpoint"):
        Checkpoints(folder)


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and links")
@pytest.mark.parametrize("name", ["ema/_METADATA", "ema/manifest.ocdbt", "_CHECKPOINT_METADATA", "meta/metadata"])
@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_what_is_no_file_is_neither_waited_for_nor_read_without_end(folder, name, put):
    path = folder / "20" / name
    path.unlink()
    put(path)
    with pytest.warns(UserWarning, match="checkpoint 20 .* is damaged"):
        jax.tree.map(np.testing.assert_array_equal, restore_params(folder.parent), state(10).ema)
    if name == "_CHECKPOINT_METADATA":  # which Orbax reads before it is asked for anything
        with pytest.raises(CheckpointError, match=r"got .*, which is no file; expected one; to fix: remove .*20"):
            Checkpoints(folder)
        return
    with Checkpoints(folder) as checkpoints, pytest.warns(UserWarning, match=r"20 is damaged .*no file"):
        got, _ = checkpoints.restore(state(0))
    assert_state(got, 10)


def test_with_all_damaged_nothing_is_moved_and_nothing_starts_afresh(folder):
    for step in (10, 20):
        shutil.rmtree(folder / str(step) / "rest")
    with Checkpoints(folder) as checkpoints, pytest.raises(CheckpointError, match="all damaged"):
        checkpoints.restore(state(0))
    assert steps(folder) == [10, 20]


def test_a_half_written_checkpoint_does_not_count(folder):
    (folder / "30.orbax-checkpoint-tmp" / "params").mkdir(parents=True)
    with Checkpoints(folder) as checkpoints:
        assert_state(checkpoints.restore(state(0))[0], 20)
        checkpoints.save(state(30), META, wait=True)
    assert steps(folder) == [10, 20, 30]


def test_other_leaves_are_listed(folder):
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(
            CheckpointError, match=r"params/params/Dense_0/kernel: float32\[3, 1\], expected float32\[4, 1\]"
        ),
    ):
        checkpoints.restore(state(0, features=4))


def test_newest_and_every_nth_are_kept(tmp_path):
    with Checkpoints(tmp_path, keep=2, keep_every=30) as checkpoints:
        for step in range(10, 80, 10):
            checkpoints.save(state(step), META)
    assert steps(tmp_path) == [30, 60, 70]


def test_a_write_that_fails_leaves_the_others_and_says_what_to_do(folder, capfd):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoints = Checkpoints(folder, keep=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"File too large.*it continues from step 20"):
            checkpoints.save(state(30), META, wait=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "Traceback" not in capfd.readouterr().err
    assert steps(folder) == [10, 20]
    with Checkpoints(folder) as again:
        assert_state(again.restore(state(0))[0], 20)


def test_too_little_space_is_said_before_writing(folder, monkeypatch):
    with Checkpoints(folder) as checkpoints:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 100, 100))
        with pytest.raises(CheckpointError, match=r"free space .* it continues from step 20"):
            checkpoints.save(state(30), META)
    assert sorted(p.name for p in folder.iterdir()) == ["10", "20"]


def test_a_step_is_saved_once(folder):
    with Checkpoints(folder) as checkpoints:
        checkpoints.restore(state(0))
        checkpoints.save(state(20), {"other": 1}, wait=True)
        assert checkpoints.restore(state(0))[1] == META
