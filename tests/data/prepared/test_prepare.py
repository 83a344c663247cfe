"""Folders as TFDS records: tiles, large images, what is left out, interruptions, and training that starts from the index."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import tifffile
from tensorflow_datasets.core.utils import gcs_utils

from jaxdiff import script
from jaxdiff.cli import COMMANDS
from jaxdiff.data.config import Folder, Tfds, open_data
from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files import tiff
from jaxdiff.data.prepared import prepare as prepare_module
from jaxdiff.data.prepared import tfds as tfds_source
from jaxdiff.data.prepared.prepare import REPORT, prepare
from jaxdiff.data.prepared.tfds import TfdsSource
from jaxdiff.data.prepared.tiles import tiles
from jaxdiff.lock import LockedError


def records(source):
    return {source[i]["name"]: source[i] for i in range(len(source))}


def report(folder):
    return json.loads((folder / REPORT).read_text())


@pytest.mark.parametrize(("shape", "tile"), [((37, 50), (16, 20)), ((5, 33, 16), (2, 16, 16)), ((8, 8), (16, 4))])
def test_tiles_cover_every_pixel_and_know_where_they_lie(shape, tile):
    image = np.arange(np.prod(shape), dtype=">u4").reshape(*shape, 1)
    seen = np.zeros(shape, int)
    for one in tiles({"image": image, "mask": image[..., 0], "name": "a.tif"}, tile, len(shape)):
        assert one["image"].shape[:-1] == tuple(min(t, n) for t, n in zip(tile, shape))
        assert one["image"].dtype.isnative
        np.testing.assert_array_equal(one["image"][..., 0], one["mask"])
        corner = np.unravel_index(int(one["image"].flat[0]), shape)
        said = one["name"].removeprefix("a.tif (").rstrip(")").split(", ")
        assert [int(part.split()[1]) for part in said] == list(corner)
        seen.flat[one["image"].ravel()] += 1
    assert seen.min() == 1
    assert seen.max() <= 2 ** len(shape)


def test_tiles_of_an_image_and_its_coarser_input_are_of_one_field():
    fine = np.arange(36 * 48).reshape(36, 48, 1)
    for one in tiles({"image": fine, "input": fine[::4, ::4], "name": "x"}, (16, 20), 2):
        np.testing.assert_array_equal(one["image"][::4, ::4], one["input"])
    with pytest.raises(DataError, match="multiple"):
        next(tiles({"image": fine, "input": fine[::4, ::4], "name": "x"}, (18, 20), 2))


def test_a_large_image_is_decoded_into_a_file_and_is_the_same(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 4000, (3, 90, 70)).astype(">u2")
    options = {"metadata": {"axes": "CYX"}, "ome": True, "compression": "zlib", "tile": (32, 32)}
    tifffile.imwrite(tmp_path / "in.ome.tif", pixels, **options)
    prepare(tmp_path / "in.ome.tif", tmp_path, "plain", tile=(40, 40))
    read, decoded = tiff.read_tiff, []

    def watched(image, index, scratch=None):
        array = read(image, index, scratch)
        decoded.append(isinstance(array.base, np.memmap) or isinstance(array, np.memmap))
        return array

    monkeypatch.setattr(tiff, "LARGE", 1)
    monkeypatch.setattr(tiff, "read_tiff", watched)
    made = prepare(tmp_path / "in.ome.tif", tmp_path, "large", tile=(40, 40))
    assert decoded == [True]
    one, other = (records(TfdsSource(name, tmp_path)) for name in ("plain", "large"))
    assert one.keys() == other.keys()
    assert len(one) == 6
    for name in one:
        np.testing.assert_array_equal(one[name]["image"], other[name]["image"])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    for channel, values in zip(report(made)["channels"], pixels):
        # tiles overlap, so that some pixels count twice: lowest and highest are exact, the moments nearly
        assert (channel["lowest"], channel["highest"]) == (values.min(), values.max())
        np.testing.assert_allclose([channel["mean"], channel["std"]], [values.mean(), values.std()], rtol=0.03)


def test_statistics_are_those_of_all_pixels(images, tmp_path):
    folder = images(num=5)
    made = prepare(folder, tmp_path, "whole")
    pixels = np.stack([tifffile.imread(path) for path in sorted(folder.glob("*.tif"))]).astype(float)
    (channel,) = report(made)["channels"]
    np.testing.assert_allclose([channel["mean"], channel["std"]], [pixels.mean(), pixels.std()], rtol=1e-12)
    assert (channel["lowest"], channel["highest"]) == (pixels.min(), pixels.max())
    assert channel["pixels_at_highest"] == (pixels == pixels.max()).sum()
    assert report(made)["pixels"] == pixels.size


def test_what_is_left_out_is_said(images, tmp_path, capsys):
    folder = images(num=4)
    whole = (folder / "field_01.tif").read_bytes()
    (folder / "field_01.tif").write_bytes(whole[:40])
    half = tifffile.imread(folder / "field_02.tif")
    half[:, :24] = 7
    tifffile.imwrite(folder / "field_02.tif", half)
    (folder / "notes.txt").write_text("hello")
    command = [str(folder), "--out", str(tmp_path / "sets"), "--name", "n", "--tile", "40", "24"]
    assert script.run(COMMANDS["prepare"], command, "jaxdiff prepare") == 2
    assert "field_01.tif" in capsys.readouterr().err
    assert not (tmp_path / "sets").exists()  # the headers told
    assert script.run(COMMANDS["prepare"], [*command, "--skip-unreadable"], "jaxdiff prepare") == 0
    out = capsys.readouterr().out
    assert "1 files that cannot be read, 1 blank" in out
    assert "blank: field_02.tif (y 0, x 0)" in out
    assert "1 .txt" in out
    found = report(tmp_path / "sets/n/1.0.0")
    assert (found["images"], found["records"], found["left_out"]["blank"]) == (3, 5, 1)
    assert script.run(COMMANDS["prepare"], [*command, "--skip-unreadable"], "jaxdiff prepare") == 2
    assert "which exists" in capsys.readouterr().err


CONFIG = """
from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Tfds

config = TrainConfig(name="printed", steps=1, patch=(16, 16), out={out!r}, {data})
"""


def test_the_lines_that_are_printed_work_as_they_stand(images, tmp_path, capsys):
    """As a config, and as options of a config that names another set."""
    sets = tmp_path / 'a folder\'s "sets"'
    command = [str(images(num=4)), "--out", str(sets), "--name", "slides"]
    assert script.run(COMMANDS["prepare"], command, "jaxdiff prepare") == 0
    printed = capsys.readouterr().out
    as_config, as_options = (
        re.search(r"next: (data=.*) in a config", printed),
        re.search(r"train\.py (CONFIG --data.*)", printed),
    )
    assert as_config
    assert as_options
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(out=str(tmp_path), data=as_config[1]))
    assert script.run(COMMANDS["train"], [str(config), "--check"], "train.py") == 0
    assert "field_03.tif" in capsys.readouterr().out
    config.write_text(CONFIG.format(out=str(tmp_path), data='data=Tfds("other", "elsewhere")'))
    options = shlex.split(as_options[1].replace("CONFIG", str(config)))
    assert script.run(COMMANDS["train"], options, "train.py") == 0
    assert "field_03.tif" in capsys.readouterr().out


def test_a_file_whose_pixels_turn_out_damaged_is_left_out_or_ends_it(images, tmp_path):
    folder = images(num=3, compression="zlib")
    path = folder / "field_01.tif"
    with tifffile.TiffFile(path) as file:
        start, count = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[start : start + count] = bytes(count)
    path.write_bytes(bytes(data))
    with pytest.raises(UnreadableError, match="field_01"):
        prepare(folder, tmp_path / "sets", "n")
    assert not (tmp_path / "sets").exists()
    made = prepare(folder, tmp_path / "sets", "n", skip_unreadable=True)
    assert len(report(made)["left_out"]["damaged_files"]) == 1
    assert len(TfdsSource("n", tmp_path / "sets")) == 2


@pytest.mark.parametrize("skip", [False, True])
def test_a_file_that_is_written_to_meanwhile_ends_it_by_name(images, tmp_path, monkeypatch, skip):
    folder = images(num=2)
    last = sorted(folder.glob("*.tif"))[-1]
    listed = prepare_module.list_folder

    def slowly(*args, **options):
        listing = listed(*args, **options)
        tifffile.imwrite(last, tifffile.imread(last)[::-1])
        return listing

    monkeypatch.setattr(prepare_module, "list_folder", slowly)
    with pytest.raises(DataError, match=rf"{last.name}, which changed while it was read; expected a file at rest"):
        prepare(folder, tmp_path / "sets", "x", skip_unreadable=skip)
    assert not (tmp_path / "sets").exists()


def test_training_starts_from_the_index_and_splits_as_the_folder_does(images, tmp_path, monkeypatch):
    folder, masks = images(num=6), images("masks", num=6, high=300)
    prepare(folder, tmp_path, "tiled", masks=masks, tile=(20, 24))
    files = open_data(Folder(folder, masks=masks, validation=0.34), (16, 16), 0)
    read, reads = TfdsSource.__getitem__, []
    monkeypatch.setattr(TfdsSource, "__getitem__", lambda self, i: reads.append(i) or read(self, i))
    data = open_data(Tfds("tiled", tmp_path, validation=0.34), (16, 16), 0, files.normaliser)
    assert not reads
    for ours, theirs in ((data.train, files.train), (data.validation, files.validation)):
        assert {r["file"] for r in records(ours).values()} == {r["file"] for r in records(theirs).values()}
    with pytest.raises(DataError, match=r"field_.*\(20, 24\) pixels.*expected at least the patch, \(32, 32\)"):
        open_data(Tfds("tiled", tmp_path), (32, 32), 0)
    with pytest.raises(DataError, match=r"\(10, 12\) pixels"):
        open_data(Tfds("tiled", tmp_path, binning=2), (16, 16), 0)


def test_blank_tiles_are_kept_and_taken_only_when_asked_for(images, tmp_path):
    folder = images(num=2)
    tifffile.imwrite(folder / "field_01.tif", np.full((40, 48), 7, np.uint16))
    prepare(folder, tmp_path, "n", allow_blank=True)
    with pytest.raises(DataError, match="1 records with one value"):
        open_data(Tfds("n", tmp_path, validation=0.0), (16, 16), 0)
    assert len(open_data(Tfds("n", tmp_path, validation=0.0, allow_blank=True), (16, 16), 0).train) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a/../b"}, "letters, digits, - and _"),
        ({"tile": (32,)}, "expected pixels along Y X"),
        ({"tile": (0, 5)}, "expected pixels along Y X"),
    ],
)
def test_wrong_options_leave_nothing(images, tmp_path, fields, message):
    with pytest.raises(DataError, match=message):
        prepare(images(num=2), tmp_path / "sets", **{"name": "n", **fields})
    assert not (tmp_path / "sets").exists()


def test_inputs_come_with_their_images(images, tmp_path):
    folder, inputs = images(num=4), images("inputs", num=4, shape=(20, 24))
    made = prepare(folder, tmp_path, "pairs", inputs=inputs, tile=(20, 24))
    data = open_data(Tfds("pairs", tmp_path), (16, 16), 0)
    assert data.input_info is not None
    for record in records(TfdsSource("pairs", tmp_path)).values():
        y, x = (int(part.split()[1]) for part in record["name"].split("(")[1].rstrip(")").split(", "))
        whole = tifffile.imread(inputs / record["file"])
        np.testing.assert_array_equal(record["input"][..., 0], whole[y // 2 : y // 2 + 10, x // 2 : x // 2 + 12])
    assert report(made)["records"] == 16


def test_a_record_that_comes_back_otherwise_is_noticed(images, tmp_path, monkeypatch):
    read = tfds_source.TfdsSource.__getitem__

    def flipped(self, i):
        record = read(self, i)
        return {**record, "image": record["image"] ^ 1} if i == 1 else record

    monkeypatch.setattr(tfds_source.TfdsSource, "__getitem__", flipped)
    with pytest.raises(DataError, match="read back as other values"):
        prepare(images(num=3), tmp_path / "sets", "n")
    assert not (tmp_path / "sets").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_killed_while_it_writes_it_leaves_nothing_that_counts(images, tmp_path):
    folder, sets = images(num=3), tmp_path / "sets"
    code = (
        "import sys, time; import jaxdiff.data.prepared.prepare as b; s = b.Statistics.add\n"
        "def slow(*a): print('reading', flush=True); time.sleep(60)\n"
        "b.Statistics.add = slow; b.prepare(*sys.argv[1:4])"
    )
    child = subprocess.Popen([sys.executable, "-c", code, folder, sets, "n"], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(sets.glob(".n.preparing-*/n/*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert list(sets.glob(".n.preparing-*"))
    assert not (sets / "n").exists()
    with pytest.warns(UserWarning, match="interrupted preparation"):
        made = prepare(folder, sets, "n")
    assert report(made)["records"] == 3
    assert [path.name for path in sets.iterdir()] == ["n"]


def test_nothing_is_left_in_the_temporary_folder_and_nobody_is_asked_for_a_set_of_that_name(
    images, tmp_path, monkeypatch
):
    """TFDS looks its catalog up for a builder's name, and keeps what it finds in a folder that it forgets."""
    asked, temporary = [], tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(gcs_utils, "gcs_dataset_info_files", asked.append)
    prepare(images(num=2), tmp_path / "sets", "mnist")
    assert not asked
    assert list(temporary.iterdir()) == []


def test_a_place_where_nothing_can_be_made_is_named(images, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        (OSError, ValueError), match=r"got .*file/sets, where nothing can be written .*; to fix: another"
    ):
        prepare(images(num=1), tmp_path / "file" / "sets", "n")


def test_a_second_preparation_of_a_set_is_refused_and_one_of_another_set_is_not(images, tmp_path, monkeypatch):
    folder, sets, statistics = images(num=2), tmp_path / "sets", prepare_module.Statistics

    class Beside(statistics):
        def __init__(self, *args):
            super().__init__(*args)
            monkeypatch.setattr(prepare_module, "Statistics", statistics)
            with pytest.raises(
                LockedError, match=r"got .*sets/n, to which another process is writing \(process \d+ on "
            ):
                prepare(folder, sets, "n")
            prepare(folder, sets, "m")

    monkeypatch.setattr(prepare_module, "Statistics", Beside)
    assert report(prepare(folder, sets, "n"))["records"] == 2
    assert sorted(path.name for path in sets.iterdir()) == ["m", "n"]
