"""A file format of a person's own, from a module outside the package: in Python, in a config, and in commands."""

import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from jaxdiff.commands import prepare, segment
from jaxdiff.commands.reader_options import readers_named
from jaxdiff.commands.train import main as train
from jaxdiff.config import load_config, override
from jaxdiff.data.config import Folder, Tfds, open_data
from jaxdiff.data.errors import DataError, UnreadableError
from jaxdiff.data.files.axes import Layout
from jaxdiff.data.files.imagefile import ImageFile
from jaxdiff.data.files.read import inspect, read, read_image
from jaxdiff.data.files.readers import Readers
from jaxdiff.data.sources.find import find_images, stem

READER = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jaxdiff.data.files.axes import layout
from jaxdiff.data.files.imagefile import ImageFile


@dataclass(frozen=True)
class Npy:
    """Arrays of NumPy."""

    factor: int = 1
    suffixes: ClassVar = (".npy", ".raw.npy")

    def inspect(self, path, axes):
        array = np.load(path, mmap_mode="r")
        place = layout(str(path), "YX" if array.ndim == 2 else "Q" * array.ndim, array.shape, axes)
        return [ImageFile(path, 0, place, array.dtype.name, notes=("from NumPy",))]

    def read(self, image, index, scratch):
        return image.layout.images(np.load(image.path))[index]
'''
CONFIG = """
import flax.linen as nn
import jax.numpy as jnp

import jaxdiff as jd
from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Folder
from jaxdiff.data.pairs import Segmentation
from jaxdiff.training.cadence import Every


class Pixelwise(nn.Module):
    image_channels: int = 1

    @nn.compact
    def __call__(self, x, lam, cond):
        return nn.Dense(x.shape[-1])(jnp.concatenate([x, cond["image"]], -1))


config = TrainConfig(
    name="npy", data=Folder("images", masks="masks", readers=(Npy(),), validation=0.25), pairs=Segmentation(),
    network=Pixelwise(), patch=(8, 8), steps=2, batch_size=2, previews=0, validation_images=0, checkpoint=Every(),
)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder to stand in: images and masks as .npy, and a config file with its reader."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for i in range(4):
        np.save(tmp_path / "images" / f"{i}.npy", rng.gamma(2.0, 200.0, (16, 16)).astype(">u2"))
        np.save(tmp_path / "masks" / f"{i}.npy", np.kron([[1, 0], [0, 2]], np.ones((8, 8))).astype(np.uint8))
    (tmp_path / "mine.py").write_text(READER + CONFIG)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("jaxdiff_config_mine", None)


def test_it_trains_and_segments_a_folder_in_which_one_file_is_damaged(home, capsys):
    assert train(["mine.py", "--check"]) == 0
    assert "from NumPy" in capsys.readouterr().out
    assert train(["mine.py"]) == 0
    said = capsys.readouterr().out
    assert "--allow mine.py --readers mine.py:Npy" in said
    stored = json.loads((home / "runs" / "npy" / "run.json").read_text())
    assert stored["config"]["data"]["readers"] == [{"type": "mine.py:Npy", "factor": 1}]
    (home / "images" / "bad.npy").write_bytes(b"\x93NUMPY")
    os.mkfifo(home / "images" / "pipe.npy")
    (home / "images" / "nowhere.npy").symlink_to(home / "none")
    tifffile.imwrite(home / "images" / "too.tif", np.load(home / "images" / "0.npy"), metadata={"axes": "YX"})
    options = ["--run", "runs/npy", "--allow", "mine.py", "--input", "images", "--samples", "1", "--calls", "1"]
    assert segment.main([*options, "--out", "out", "--readers", "mine.py:Npy"]) == 1
    records = {one["name"]: one for one in json.loads((home / "out" / "summary.json").read_text())["files"]}
    assert {name for name, record in records.items() if record["status"] == "done"} == {"0", "1", "2", "3", "too"}
    assert "bad.npy, which cannot be read (" in records["bad"]["reason"]
    assert "a pipe" in records["pipe"]["reason"]
    assert "does not exist" in records["nowhere"]["reason"]
    with pytest.raises(DataError, match=r"(?s)other options.*readers.*Npy'\] before, None now"):
        segment.main([*options, "--out", "out", "--resume"])
    assert segment.main([*options, "--out", "tiff"]) == 0  # without it, .npy is no image
    assert json.loads((home / "tiff" / "summary.json").read_text())["images"] == 1


def test_prepare_takes_it(home):
    assert (
        prepare.main(["images", "--masks", "masks", "--out", "sets", "--name", "s", "--readers", "mine.py:Npy"], "p")
        == 0
    )
    data = open_data(Tfds("s", home / "sets"), (8, 8), 0)
    assert len(data.train) + len(data.validation) == 4
    assert data.train[0]["mask"].max() == 2


def test_it_is_no_option_of_the_command_line_and_hidden_in_none(home):
    config = override(load_config("mine.py"), ["--data.validation", "0.5"])
    assert config.data == replace(load_config("mine.py").data, validation=0.5, readers=config.data.readers)
    assert type(config.data.readers[0]).__name__ == "Npy"


def test_names_and_pixels(home):
    readers = readers_named(("mine.py:Npy",))
    with pytest.warns(UserWarning, match="from NumPy"):
        image, info = read_image(home / "images" / "0.npy", readers=readers)
    assert (image.shape, image.dtype, info.dtype) == ((16, 16, 1), np.dtype("uint16"), "uint16")
    assert not image.flags.writeable
    np.testing.assert_array_equal(image[..., 0], np.load(home / "images" / "0.npy"))
    assert readers.suffixes == (".tif", ".tiff", ".png", ".npy", ".raw.npy")
    assert stem(home / "a.RAW.npy", readers) == stem(home / "a.ome.npy", readers) == "a"
    np.save(home / "stack.npy", np.zeros((3, 4, 5)))
    with pytest.raises(DataError, match=r'whose metadata does not name all axes.*axes="CYX"'):
        inspect(home / "stack.npy", readers=readers)
    assert inspect(home / "stack.npy", "ZYX", readers)[0].layout.image_axes == "ZYXC"
    (home / "text").mkdir()
    (home / "text" / "a.txt").touch()
    with pytest.raises(DataError, match=r"files ending in \.tif, \.tiff, \.png, \.npy, \.raw\.npy"):
        find_images(home / "text", readers=readers)
    with pytest.raises(DataError, match=r"a file ending in \.tif, \.tiff, \.png;"):
        read_image(home / "images" / "0.npy")


class Promising:
    """Says of every file what it is told to, and reads zeros of `given`."""

    suffixes = (".any",)

    def __init__(self, shape=(4, 5), dtype="uint16", axes="YX", given=None, result=None):
        self.layout, self.dtype, self.result = Layout(axes, shape), dtype, result
        self.given = np.zeros((*shape, 1), dtype if given is None else given)[..., :] if np.prod(shape) < 1e6 else None

    def inspect(self, path, axes):
        return [ImageFile(path, 0, self.layout, self.dtype)] if self.result is None else self.result

    def read(self, image, index, scratch):
        return self.given


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (Promising(result=()), r"gives \(\); expected a list of ImageFile"),
        (Promising(result=[3]), r"gives \[3\]; expected a list of ImageFile"),
        (Promising((4, 0)), "whole numbers above 0"),
        (Promising((4, 5), axes="YY"), "axes 'YY'"),
        (Promising(dtype="complex64"), "pixels of type 'complex64'; expected the name of a type of integers or floats"),
        (Promising((1000, 4, 5), axes="TYX"), "1000 images for its 10 bytes; expected no more images than bytes"),
        (Promising((10**7, 10**7)), r"an image of 200000 GB .*one that fits into"),
        (
            Promising(given="uint8"),
            r"read gives uint8 of shape \(4, 5, 1\); expected uint16 of shape \(4, 5, 1\), as was",
        ),
        (Promising((4, 5), axes="XY"), r"read gives uint16 of shape \(4, 5, 1\); expected uint16 of shape \(5, 4, 1\)"),
    ],
)
def test_what_it_gives_is_held_against_what_a_file_may_be(tmp_path, reader, message):
    (tmp_path / "a.any").write_bytes(bytes(10))
    with pytest.raises(UnreadableError, match=message):
        read(inspect(tmp_path / "a.any", readers=Readers([reader]))[0])


def test_a_value_beyond_float32_and_whatever_it_raises_are_of_this_file(tmp_path):
    (tmp_path / "a.any").write_bytes(bytes(10))
    large = Promising(dtype="float64")
    large.given = np.full((4, 5, 1), 1e30)
    with pytest.raises(UnreadableError, match=r"values from 1e\+30"):
        read(inspect(tmp_path / "a.any", readers=Readers([large]))[0])

    class Failing(Promising):
        def inspect(self, path, axes):
            raise RecursionError("round and round")

    with pytest.raises(UnreadableError, match=r"a\.any, which cannot be read \(RecursionError: round and round\)"):
        inspect(tmp_path / "a.any", readers=Readers([Failing()]))


def test_what_is_no_reader_is_refused_at_once(tmp_path):
    class Text(Promising):
        suffixes = ".any"

    for readers, message in (
        ([Promising], "got the class Promising as a reader; expected an object"),
        ([object()], "a object as a reader"),
        ([Text()], r"suffixes '\.any' of Text; expected a tuple"),
        ([Promising(), Promising()], r"two readers of \.any files"),
    ):
        with pytest.raises(DataError, match=message):
            Folder(tmp_path, readers=tuple(readers))
    (tmp_path / "needy.py").write_text("class Needy:\n    def __init__(self, a): ...\n")
    with pytest.raises(ValueError, match=r"needy\.py:Needy', which cannot be made \(TypeError"):
        readers_named((f"{tmp_path}/needy.py:Needy",))


def test_an_own_reader_comes_before_ours(tmp_path):
    class Mine(Promising):
        suffixes = (".tif",)

    (tmp_path / "a.tif").write_bytes(bytes(10))
    assert read_image(tmp_path / "a.tif", readers=Readers([Mine()]))[0].max() == 0
