"""A run that goes on knows its data again: refused by the name of the first difference, or accepted and recorded."""

import json
import os
import shutil

import numpy as np
import pytest
import tifffile

from jaxdiff.data.config import Folder, Synthetic, open_data
from jaxdiff.training.known_data import NAME, know, read_known
from jaxdiff.training.loop import train
from jaxdiff.training.run_folder import check_config, read_run

pytestmark = [pytest.mark.usefixtures("compiled_once")]


@pytest.fixture
def folder(tmp_path, image_folder):
    """A copy of the images that a test may change."""
    return shutil.copytree(image_folder, tmp_path / "mine")


def held(run):
    known = read_known(run)
    assert known is not None
    return {name for name, file in known.files.items() if file.part == "validation"}


def test_other_data_are_refused_by_name_and_accepted_by_a_recorded_flag(config, folder, capsys):
    first = config(data=Folder(path=folder), steps=2, validation_images=2)
    run = train(first)
    before = held(run)
    assert len(before) == 2
    for image in folder.iterdir():
        os.utime(image, (1, 1))
    train(config(data=Folder(path=folder), steps=3, validation_images=2))
    stored = (run / NAME).read_text()

    tifffile.imwrite(folder / "99.tif", np.arange(192, dtype=np.uint16).reshape(12, 16))
    for name in sorted({f"{i:02d}.tif" for i in range(16)} - before)[:1]:
        tifffile.imwrite(folder / name, tifffile.imread(folder / name) + 1)
        changed = name
    with pytest.raises(ValueError, match=rf"{changed} has another image \(and 1 more differences\).*--other-data"):
        train(config(data=Folder(path=folder), steps=4))
    assert (run / NAME).read_text() == stored

    moved = folder.rename(folder.parent / "moved")
    with pytest.raises(ValueError, match=r"data\.path"):
        train(config(data=Folder(path=moved), steps=4))
    capsys.readouterr()
    train(config(data=Folder(path=moved), steps=4, other_data=True, validation_images=2))
    assert f"other data, 2 differences, the first: {changed} has another image" in capsys.readouterr().err
    (entry,) = json.loads((run / NAME).read_text())["data"]["accepted"]
    assert entry == {"step": 3, "differences": 2, "first": [f"{changed} has another image", "99.tif is new"]}
    assert held(run) == before
    assert read_run(run)["config"]["data"]["path"] == moved.as_posix()

    elsewhere = moved.rename(folder.parent / "elsewhere")  # the same data: nothing is other, but their place
    train(config(data=Folder(path=elsewhere), steps=4, other_data=True))
    assert len(json.loads((run / NAME).read_text())["data"]["accepted"]) == 1
    assert read_run(run)["config"]["data"]["path"] == elsewhere.as_posix()

    # From now on these are the run's data: no flag, and the same images are held out.
    train(config(data=Folder(path=elsewhere), steps=5, validation_images=2))
    assert held(run) == before
    (elsewhere / min(before)).unlink()
    with pytest.raises(ValueError, match=rf"{min(before)}, which was held out, is missing"):
        train(config(data=Folder(path=elsewhere), steps=6))


def test_a_run_of_before_gets_a_fingerprint_and_says_so(config, folder, capsys):
    run = train(config(data=Folder(path=folder), steps=1))
    stored = (run / NAME).read_text()
    (run / NAME).unlink()
    capsys.readouterr()
    train(config(data=Folder(path=folder), steps=2))
    assert f"{NAME} records those of now" in capsys.readouterr().err
    assert (run / NAME).read_text() == stored
    (run / NAME).write_text(stored.replace('"part"', '"port"'))
    with pytest.raises(ValueError, match=r"data\.json: files\.00\.tif of File without 'part'"):
        train(config(data=Folder(path=folder), steps=3))


def test_synthetic_images_are_known_by_their_parameters(config, tmp_path):
    data = open_data(Folder(path=config().data.path), (8, 8), 0)
    known = know(config(data=Synthetic(num=8)), tmp_path, data, None, resumed=False)
    assert known.now is None
    assert known.checksum is None
    known.store(tmp_path, config())
    assert not (tmp_path / NAME).exists()
    stored = {"config": config(data=Synthetic(num=8)).to_json()}
    with pytest.raises(ValueError, match=r"data\.num: 8 in the run, 9 now"):
        check_config(config(data=Synthetic(num=9), other_data=True), stored, tmp_path)


def test_a_run_keeps_the_levels_of_its_training(config):
    stored = read_run(train(config(steps=1)))
    (low, high) = stored["levels"]["middle"][0]
    assert 100 < low < high < 1000, "medians of gamma-distributed grey levels of mean 400"
