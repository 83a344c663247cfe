"""Whole runs: resuming, refusing, fine-tuning, what is written."""

import errno
import json
import shutil
import signal
import warnings
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from jaxdiff.data.config import Folder
from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files import tiff as files
from jaxdiff.lock import only_writer
from jaxdiff.nn.unet import UNet
from jaxdiff.training import loop
from jaxdiff.training import run as opening
from jaxdiff.training.cadence import Every
from jaxdiff.training.fine_tune import start_from
from jaxdiff.training.loop import TrainingDiverged, train
from jaxdiff.training.npz import read_npz
from jaxdiff.training.optimizer import AdamW
from jaxdiff.training.power_ema import PowerEMA
from jaxdiff.training.restore import CheckpointError, read_checkpoint, restore_params, steps
from jaxdiff.training.run_folder import read_run
from jaxdiff.training.snapshots import snapshots
from jaxdiff.training.state import TrainState
from jaxdiff.training.step import Step

pytestmark = [pytest.mark.usefixtures("compiled_once")]


def final(folder: Path):
    """Everything but the clock in the newest checkpoint."""
    step = steps(folder / "checkpoints")[-1]
    tree, meta = read_checkpoint(folder / "checkpoints" / str(step))
    changing = ("seconds", "config")
    return tree, {name: value for name, value in meta.items() if name not in changing}


def assert_same(a, b):
    assert jax.tree.structure(a[0]) == jax.tree.structure(b[0])
    jax.tree.map(np.testing.assert_array_equal, a[0], b[0])
    assert a[1] == b[1]


def rows(folder: Path):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    timed = ("images_per_second", "tflops_per_second")
    return [{k: v for k, v in row.items() if k not in timed} for row in lines]


@pytest.mark.slow
def test_three_steps_and_three_more_are_bitwise_six(config):
    unet = UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), dropout=0.1)
    whole = train(config(name="whole", network=unet))
    # The same budget, so that the cosine is the same: the first session is stopped after three steps.
    parts = config(name="parts", network=unet, checkpoint=Every(steps=3))
    stopped(parts, after=3)
    assert steps(parts.folder / "checkpoints") == [3]
    train(parts)
    assert_same(final(whole), final(parts.folder))
    assert [row["step"] for row in rows(parts.folder)] == [2, 4, 6]
    assert rows(parts.folder)[2] == rows(whole)[2]


def stopped(config, after: int):
    """Runs a session that dies when it asks for the batch behind step `after`."""
    made, died = opening.Loader, RuntimeError("the power is gone")

    class Dying(made):
        taken = 0

        def __next__(self):
            Dying.taken += 1
            if Dying.taken > after + 1:  # one batch is looked at before the run begins
                raise died
            return super().__next__()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "Loader", Dying)
        with pytest.raises(RuntimeError) as error:
            train(config)
    assert error.value is died


def test_a_resumed_run_keeps_the_same_power_function_averages(config):
    kept = {"power_ema": PowerEMA(every=2), "checkpoint": Every(steps=3)}
    whole, parts = train(config(name="whole", **kept)), config(name="parts", **kept)
    stopped(parts, after=5)
    assert snapshots(parts.folder) == [2, 4]
    train(parts)
    assert snapshots(whole) == snapshots(parts.folder) == [2, 4, 6]
    for step in snapshots(whole):
        one, other = (read_npz(folder / "power_ema" / f"{step:08d}.npz") for folder in (whole, parts.folder))
        jax.tree.map(np.testing.assert_array_equal, one, other)


def test_rows_behind_the_checkpoint_are_taken_again_and_not_doubled(config):
    run = config(checkpoint=Every(steps=2), log_every=1)
    stopped(run, after=3)
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "loss"')  # half a row
    train(run)
    assert [row["step"] for row in rows(run.folder)] == [1, 2, 3, 4, 5, 6]


def test_rows_over_a_resume_are_those_of_an_undisturbed_run(config):
    fields = {"checkpoint": Every(steps=2), "log_every": 5, "steps": 12}
    whole, parts = train(config(name="whole", **fields)), config(name="parts", **fields)
    stopped(parts, after=3)
    told_to_stop(parts, at=7)  # no row of its own
    assert [row["step"] for row in rows(parts.folder)] == [5]
    train(parts)
    assert [row["step"] for row in rows(whole)] == [5, 10, 12]
    assert rows(parts.folder) == rows(whole)
    # A row that the end cut short is written whole where the run is given more steps.
    longer = config(name="longer", **{**fields, "steps": 15})
    train(config(name="whole", **{**fields, "steps": 15}))
    assert [row["step"] for row in rows(whole)] == [5, 10, 12, 15]
    at_once = rows(train(longer))
    shared = [name for name in at_once[-1] if name.startswith("v_error")]
    assert shared == [name for name in rows(whole)[-1] if name.startswith("v_error")]


def told_to_stop(config, at: int):
    """Runs a session that gets SIGTERM in step `at`."""

    class Told(loop.Interrupt):
        def caught(self, step):
            self.signum = signal.SIGTERM if step >= at else None
            return self.signum is not None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "Interrupt", Told)
        with pytest.raises(SystemExit) as stop:
            train(config)
    assert stop.value.code == 143


@pytest.mark.parametrize("drawn", [False, True])
def test_a_run_killed_before_its_last_measurements_makes_up_for_them(config, monkeypatch, drawn):
    fields = {"previews": 2, "validation_images": 2}
    whole, run = train(config(name="whole", **fields)), config(name="killed", **fields)

    class Killed(loop.Look):
        def __call__(self, *args):
            if drawn:
                super().__call__(*args)
                (run.folder / "samples/step_00000006.png").unlink()
            raise RuntimeError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "Look", Killed)
        with pytest.raises(RuntimeError, match="power"):
            train(run)
    assert steps(run.folder / "checkpoints") == [6]
    train(run)
    sheets = [(folder / "samples/step_00000006.png").read_bytes() for folder in (whole, run.folder)]
    assert sheets[0] == sheets[1]
    assert rows(run.folder) == rows(whole)
    assert any(name.startswith("validation/") for name in rows(whole)[-1])
    written = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*") if path.is_file()}
    train(run)
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_gives_the_same_run(config):
    whole = train(config(name="whole"))
    run = config(checkpoint=Every(steps=2))
    stopped(run, after=5)
    assert steps(run.folder / "checkpoints") == [2, 4]
    for path in (run.folder / "checkpoints/4/params").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="checkpoint 4 is damaged .* going back to 2"):
        train(run)
    assert_same(final(whole), final(run.folder))
    assert (run.folder / "checkpoints/damaged-4").is_dir()


def test_a_folder_of_another_config_is_refused_with_every_difference(config):
    folder = train(config())
    before = sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*"))
    with pytest.raises(
        ValueError, match=r"batch_size: 4 in the run, 8 now\n.*optimizer.learning_rate: 0.0003 in the run"
    ):
        train(config(batch_size=8, optimizer=AdamW(learning_rate=1e-3), steps=8))
    assert before == sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*"))


def test_a_run_of_before_there_were_some_fields_goes_on_and_one_of_later_is_refused(config):
    unet = UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), dropout=0.1)
    folder = train(config(network=unet))
    stored = json.loads((folder / "run.json").read_text())
    for owner, name in ((stored["config"], "power_ema"), (stored["config"]["network"], "augmentation_size")):
        del owner[name]
    stored["config"]["network"]["remat"] = False
    (folder / "run.json").write_text(json.dumps(stored))
    assert train(config(network=unet, steps=7)) == folder
    assert steps(folder / "checkpoints")[-1] == 7
    stored["config"]["network"]["flavour"] = 1
    (folder / "run.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"flavour.*to fix: use the version of jaxdiff that wrote them"):
        train(config(network=unet, steps=8))


def test_a_foreign_folder_is_refused(config):
    run = config()
    run.folder.mkdir(parents=True)
    (run.folder / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds no run\.json"):
        train(run)
    assert [p.name for p in run.folder.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patch": (8, 8, 8)}, "expected"),
        ({"patch": (32, 32)}, "expected"),
        ({"data": Folder(path=Path("nowhere"))}, "nowhere"),
        ({"init_from": "nowhere"}, r"got nowhere, which is no folder here and no model"),
    ],
)
def test_bad_input_leaves_no_folder(config, fields, message):
    run = config(**fields)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train(run)
    assert not run.folder.exists()


def test_a_label_that_the_data_lack_is_refused(config):
    run = config(network=config().network.clone(num_classes=2))
    with pytest.raises(ValueError, match="got data without labels"):
        train(run)
    assert not run.folder.exists()


def test_another_number_of_classes_than_have_names_is_refused(config, image_folder, tmp_path):
    for i, path in enumerate(sorted(image_folder.iterdir())[:8]):
        (tmp_path / f"class{i % 2}").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / f"class{i % 2}")
    run = config(data=Folder(tmp_path, classes=True), network=config().network.clone(num_classes=3))
    with pytest.raises(ValueError, match=r"class_names of the data .*'class1'.*--network.num-classes 2"):
        train(run)
    assert not run.folder.exists()


def test_a_finished_run_goes_on_with_more_steps_only(config, capsys):
    folder = train(config())
    before = final(folder)
    assert train(config()) == folder
    assert "complete at step 6" in capsys.readouterr().err
    assert_same(final(folder), before)
    train(config(steps=8))
    assert steps(folder / "checkpoints") == [6, 8]


def test_many_steps_in_a_row_that_are_not_finite_stop_the_run(config, monkeypatch):
    made = opening.to_batch
    monkeypatch.setattr(opening, "to_batch", lambda loaded, net: {"image": np.nan * made(loaded, net)["image"]})
    with pytest.raises(TrainingDiverged, match=r"got 5 steps in a row.*none of these steps was applied.*learning-rate"):
        train(config(steps=100, max_skipped=5))


def test_a_fine_tuned_run_starts_from_the_average_of_the_other(config, monkeypatch):
    first = train(config(name="first"))
    begun = []

    def only_look(_, state, *args):
        begun.append(state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Step, "__call__", only_look)
        with pytest.raises(KeyboardInterrupt):
            train(config(name="second", init_from=str(first)))
    for tree in (begun[0].params, begun[0].ema):
        jax.tree.map(np.testing.assert_array_equal, tree, restore_params(first))
    with pytest.raises(ValueError, match="predicts 'v'; expected 'eps'"):
        train(config(name="third", init_from=str(first), predicts="eps"))
    with pytest.raises(ValueError, match=r"params/last/kernel: float32\[8, 1\], expected float32\[4, 1\]"):
        train(config(name="third", init_from=str(first), network=config().network.clone(width=4)))
    assert not config(name="third").folder.exists()


def test_leaves_that_do_not_fit_are_listed_and_may_start_afresh(config):
    first = train(config(name="first"))
    deeper = config().network.clone(depth=2)
    state = TrainState.create(jax.random.key(5), deeper, optax.sgd(0.1), {"image": np.zeros((1, 8, 8, 1))})
    with pytest.raises(ValueError, match="2 leaves that do not fit this network") as error:
        start_from(state, first, "v")
    assert "params/Dense_1/bias: missing, expected float32[8]" in str(error.value)
    assert "params/Dense_1/kernel: missing, expected float32[8, 8]" in str(error.value)
    with pytest.warns(UserWarning, match="2 leaves that do not fit"):
        started = start_from(state, first, "v", partial=True)
    old, fresh = flat(restore_params(first)), flat(state.params)
    for tree in (started.params, started.ema):
        for name, leaf in flat(tree).items():
            np.testing.assert_array_equal(leaf, old.get(name, fresh[name]))


def flat(tree):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def test_pictures_validation_and_run_json(config):
    folder = train(config(steps=4, previews=4, validation_images=3, validation=Every(steps=2), preview=Every(steps=3)))
    names = sorted(p.name for p in (folder / "samples").iterdir())
    assert names == ["real.png", "step_00000003.png", "step_00000004.png"]
    losses = [row for row in rows(folder) if "validation/loss" in row]
    assert [row["step"] for row in losses] == [2, 4]
    assert all(np.isfinite(row["validation/loss"]) for row in losses)
    assert any((folder / "tensorboard").iterdir())
    run = read_run(folder)
    assert run["shape"] == [8, 8, 1]
    assert run["schedule"] == {"name": "Cosine", "s": 0.008}
    assert run["network"]["width"] == 8
    assert run["data"]["dtype"] == "uint16"


def test_pictures_do_not_change_the_training(config):
    plain = train(config(name="plain"))
    often = {"validation": Every(steps=1), "preview": Every(steps=2), "log_every": 1}
    busy = train(config(name="busy", previews=4, validation_images=3, **often))
    assert_same(final(plain), final(busy))


def test_a_budget_of_minutes_ends_the_run(config):
    folder = train(config(steps=None, minutes=1e-4))
    assert steps(folder / "checkpoints") == [1]


def test_another_environment_is_said_on_resume(config, monkeypatch):
    train(config(steps=2))
    here = opening.environment()
    monkeypatch.setattr(opening, "environment", lambda: {**here, "cores": 4096})
    with pytest.warns(UserWarning, match=r"another environment.*cores: \d+ -> 4096"):
        train(config(steps=4))


def test_no_warning_on_an_ordinary_resume(config):
    train(config(steps=2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(config(steps=4))


def test_a_run_that_lost_all_its_checkpoints_to_damage_is_not_started_afresh(config):
    folder = train(config(steps=2))
    shutil.rmtree(folder / "checkpoints/2/params")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="all damaged"):
            train(config(steps=4))


def test_two_processes_do_not_train_one_run(config):
    pytest.importorskip("fcntl")
    folder = train(config(steps=2))
    with only_writer(folder), pytest.raises(ValueError, match="another process is writing"):
        train(config(steps=4))
    train(config(steps=4))


def test_a_full_disk_is_said_before_the_work_begins(config, monkeypatch):
    full = shutil._ntuple_diskusage(10**9, 10**9 - 100, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(CheckpointError, match=r"free space .* it continues from the start"):
        train(config())


def test_a_disk_that_fills_up_while_logging_is_said(config, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    run = config(checkpoint=Every(steps=1))
    monkeypatch.setattr(loop.MetricsLog, "write", fail)
    with pytest.raises(CheckpointError, match=r"full disk .* No space left on device"):
        train(run)
    assert steps(run.folder / "checkpoints") == [1]


def test_records_that_turn_out_unreadable_are_named_and_counted_and_too_many_end_the_run(
    config, image_folder, monkeypatch
):
    read, begin, broken = files.read_tiff, loop._Session.train, []

    def reader(image, *args):
        if image.path.name in broken:
            raise UnreadableError(f"{image.path}, which cannot be read", "a whole TIFF file", "copy it again")
        return read(image, *args)

    def train_on_damaged(run):
        broken.extend(["03.tif", "07.tif"])
        return begin(run)

    monkeypatch.setattr(files, "read_tiff", reader)
    monkeypatch.setattr(loop._Session, "train", train_on_damaged)
    data = Folder(path=image_folder, validation=0, cache_gb=0)
    with pytest.warns(UserWarning, match=r"record \d+ of the training data cannot be read .*0[37]\.tif"):
        run = train(config(data=data, steps=8, max_unreadable=2))
    assert rows(run)[-1]["unreadable"] == 2
    broken.clear()
    with pytest.raises(DataError, match=r"number 2 on the way.*at most 1"):
        train(config(name="fewer", data=data, steps=8, max_unreadable=1))
