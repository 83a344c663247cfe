"""Configs: round trips, checks, files, the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxdiff.config import load_config, override
from jaxdiff.data.config import BBBC039, Folder, Synthetic, Tfds
from jaxdiff.data.pairs import Denoising, SuperResolution
from jaxdiff.nn.unet import UNet
from jaxdiff.plain import from_plain, to_plain
from jaxdiff.process import schedules
from jaxdiff.training.cadence import Budget, Clock, Every
from jaxdiff.training.config import CLASSES, MAY_CHANGE, TrainConfig
from jaxdiff.training.weighting import MinSNR, Uniform


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"data": Folder(path=Path("a/b"), pixel_size=(0.1, 0.2)), "patch": (4, 8, 8), "predicts": "eps"},
        {
            "data": BBBC039(path=Path("b")),
            "weighting": MinSNR(3.0),
            "network": UNet(multipliers=(1, 1), attention=(False, True)),
        },
        {"data": Tfds(name="malaria", data_dir=Path("c")), "schedule": schedules.Rectified(), "weighting": Uniform()},
        {"schedule": schedules.Karras(sigma_min=0.01), "checkpoint": Every(steps=5), "init_from": "runs/a"},
    ],
)
def test_json_round_trip(fields):
    config = TrainConfig(name="a", steps=1, **fields)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    "fields",
    [
        {"data": Tfds("slides", "prepared")},
        {"data": Folder("images", masks="masks", inputs="noisy", pixel_size=[0.1, 0.2], channel_names=["a"])},
        {"data": BBBC039("cells")},
        {"pairs": Denoising(photons=[1.0, 2.0])},
        {"pairs": SuperResolution(factor=[2, 2])},
        {"patch": [8, 8]},
    ],
)
def test_text_and_lists_are_taken_for_paths_and_tuples(fields):
    """As people write them by hand, and as docs/data.md does."""
    config = TrainConfig(name="a", steps=1, **fields)
    assert override(config, []) == config
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == override(config, [])


def test_a_table_of_betas_round_trips():
    betas = np.linspace(1e-4, 0.02, 10)
    back = from_plain(json.loads(json.dumps(to_plain(schedules.DiscreteBetas(betas)))), CLASSES)
    np.testing.assert_array_equal(back.betas, betas)


def test_stored_names_are_looked_up_in_a_list_only():
    with pytest.raises(ValueError, match="got a stored 'Popen'"):
        from_plain({"type": "Popen", "args": ["true"]}, CLASSES)
    with pytest.raises(ValueError, match="got stored fields"):
        from_plain({"type": "Every", "stepz": 1}, CLASSES)
    with pytest.raises(ValueError, match="got a function"):
        to_plain({"f": write})


def test_fields_that_may_change_exist():
    assert set(TrainConfig.__dataclass_fields__) >= MAY_CHANGE


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": None}, "expected a budget"),
        ({"name": "a/b"}, "expected a folder name"),
        ({"name": ".."}, "expected a folder name"),
        ({"steps": 0}, "steps=0; expected more than 0"),
        ({"batch_size": -1}, "batch_size=-1"),
        ({"patch": (8,)}, "expected y x or z y x"),
        ({"drop_condition": 2}, "expected 0 to 1"),
        ({"init_partial": True}, "init_partial without init_from"),
    ],
)
def test_contradictions_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{"name": "a", "steps": 1, **fields})


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_config_file(tmp_path):
    good = write(
        tmp_path / "good.py",
        "from pathlib import Path\nfrom jaxdiff.config import TrainConfig\nfrom jaxdiff.data.config import Folder\n"
        "config = TrainConfig(name='x', data=Folder(path=Path('images')), steps=3)\n",
    )
    config = load_config(good)
    assert config.steps == 3
    changed = override(config, ["--steps", "7", "--data.path", "other", "--network.width", "32", "--no-augment"])
    assert (changed.steps, changed.data.path, changed.network.width, changed.augment) == (7, Path("other"), 32, False)
    assert override(config, ["--patch", "4", "8", "8"]).patch == (4, 8, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "with no `config`"),
        ("config = {'name': 1}", "of type dict"),
        ("config = 1 / 0", "ZeroDivisionError"),
        ("from jaxdiff.config import TrainConfig\nconfig = TrainConfig(name='a', stepz=1)", "stepz"),
    ],
)
def test_wrong_config_files(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_config(write(tmp_path / "bad.py", text))


def test_a_missing_config_names_its_neighbours(tmp_path):
    write(tmp_path / "nuclei.py", "")
    with pytest.raises(FileNotFoundError, match=r"nuclei\.py"):
        load_config(tmp_path / "nuclie.py")


def test_typos_get_a_suggestion_and_status_2(capsys):
    with pytest.raises(SystemExit) as exit:
        override(TrainConfig(name="a", steps=1), ["--network.widht", "32"])
    assert exit.value.code == 2
    assert "--network.width" in capsys.readouterr().err


def test_every_option_has_help(capsys):
    with pytest.raises(SystemExit) as exit:
        override(TrainConfig(name="a", steps=1, data=Synthetic()), ["--help"])
    assert exit.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for field, words in (
        ("--steps", "exactly repeatable"),
        ("--network.width", "matrix unit"),
        ("--ema.decay", "memory"),
    ):
        assert field in text
        assert words in text


def test_cadence_by_steps_keeps_its_places_on_resume():
    assert [s for s in range(1, 10) if Clock(Every(steps=3)).due(s)] == [3, 6, 9]
    assert not Clock(Every()).due(5)
    assert Clock(Every(minutes=1e-9)).due(5)


def test_budget():
    assert [Budget(4, None).fraction(s) for s in range(5)] == [0, 0.25, 0.5, 0.75, 1]
    assert Budget(4, None).done(4)
    half = Budget(None, 1.0, spent=30.0)
    assert 0.5 <= half.fraction(0) < 0.51
    assert Budget(100, 1.0, spent=60.0).done(1)
    assert Budget(2, 1.0).done(2)
