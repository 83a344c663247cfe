"""Names and values out of files reach the terminal, and error texts, without what moves its cursor."""

import json
import warnings

import numpy as np
import pytest
import tifffile

from jaxdiff import cli, script
from jaxdiff.commands.folders.over_folder import over_folder
from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.malformed import Malformed
from jaxdiff.schema import dataclass_of, fields, typed
from jaxdiff.terminal import escaped, one_line

COMMANDS = [*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), *"\u061c\u200f\u2028\u202e\u2066"]
CLEAR = "\x1b[2J\x1b]0;title\x07"
CLEAR_IN_ONE = "\x9b2J\u202e"
"""Legal in XML."""


def is_plain(text: str) -> bool:
    return not {*COMMANDS} - {"\n", "\t"} & {*text}


@pytest.mark.parametrize("letter", COMMANDS)
def test_commands_are_written_out_as_python_does(letter):
    assert one_line(f"a{letter}b") == f"a{ascii(letter)[1:-1]}b"
    assert escaped(f"a{letter}b") == (f"a{letter}b" if letter in "\n\t" else f"a{ascii(letter)[1:-1]}b")


@pytest.mark.parametrize("text", ["été", "e\u0301", "µm", "\xa0", "細胞", "👩\u200d🔬", "हिन्दी", "a b", "\\x1b"])
def test_letters_stay(text):
    assert one_line(text) == escaped(text) == text


def test_every_error_about_a_file_is_plain():
    error = DataError(f"{CLEAR}\nb", "c", "d", [f"e\n{CLEAR}"])
    assert is_plain(str(error))
    assert str(error).count("\n") == 2
    for bad in (
        lambda: typed(dict[str, int], {CLEAR: "1"}, "numbers"),
        lambda: typed(int, CLEAR, "number"),
        lambda: fields({"a": {CLEAR: 1}}, {"a": dict[str, str]}),
        lambda: dataclass_of(DataInfo, {"axes": "YXC", "channel_names": ["a"], CLEAR: 1}),
    ):
        with pytest.raises(Malformed, match="x1b") as refused:
            bad()
        assert is_plain(str(refused.value))


def test_a_folder_of_hostile_names(tmp_path, capsys):
    images = tmp_path / "in"
    images.mkdir()
    noise = np.random.default_rng(0).integers(0, 4000, (8, 8), dtype=np.uint16)
    ome = {"axes": "YX", "Channel": {"Name": [CLEAR_IN_ONE]}, "PhysicalSizeX": 1.0, "PhysicalSizeXUnit": CLEAR_IN_ONE}
    tifffile.imwrite(images / f"a{CLEAR}.ome.tif", noise, ome=True, metadata=ome)
    tifffile.imwrite(images / f"b{CLEAR}\nerror.tif", noise, imagej=True, metadata={"unit": CLEAR, "axes": "YX"})
    (images / f"c{CLEAR}.tif").write_bytes(b"II*")
    (images / f"d.{CLEAR}").write_text("")
    (images / f"e{CLEAR}.png").symlink_to(f"nowhere{CLEAR}")

    def work(image, info, name):
        (tmp_path / "out" / f"{name}.txt").write_text("a")
        warnings.warn(f"{name}: {info.channel_names}", stacklevel=2)
        return {"mean": float(image.mean())}

    how = {"suffixes": (".txt",), "expected": DataInfo("YXC", ("DAPI",)), "resume": True}
    assert over_folder(images, tmp_path / "out", work, **{**how, "resume": False}, describe={"a": 1}) == 1
    said = capsys.readouterr()
    assert "2 of 4 images done" in said.out
    for line in said.out.splitlines() + said.err.replace("\r", "\n").replace("\x1b[A", "").splitlines():
        assert is_plain(line), repr(line)

    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    summary["options"] = {"a": CLEAR, f"{CLEAR}\nb": {CLEAR_IN_ONE: 2}}
    (tmp_path / "out" / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(DataError, match="other options") as refused:
        over_folder(images, tmp_path / "out", work, **how, describe={"a": 1})
    assert is_plain(str(refused.value))
    assert str(refused.value).count("\n") == 3


def test_a_check_of_hostile_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    noise = np.random.default_rng(0).integers(0, 4000, (3, 8, 8), dtype=np.uint16)
    for number, image in enumerate(noise):
        folder = tmp_path / "in" / f"class{CLEAR}\n{number % 2}"
        folder.mkdir(exist_ok=True, parents=True)
        ome = {"axes": "YX", "Channel": {"Name": [CLEAR_IN_ONE]}}
        tifffile.imwrite(folder / f"{CLEAR}{number}.ome.tif", image, ome=True, metadata=ome)
    (folder / f"{CLEAR}.tif").write_bytes(b"II*")
    (tmp_path / "config.py").write_text("""
from jaxdiff.config import TrainConfig
from jaxdiff.data.config import Folder
from jaxdiff.nn import UNet

data = Folder("in", classes=True, skip_unreadable=True, validation=0.5)
network = UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), num_classes=2)
config = TrainConfig(name="tiny", data=data, patch=(8, 8), network=network, steps=2)
""")
    assert script.run(cli.COMMANDS["train"], ["config.py", "--check"], "cmd") == 0
    said = capsys.readouterr()
    assert "1 to train on, 2 held out, classes class" in said.out
    assert is_plain(said.out)
    assert is_plain(said.err)
    assert script.run(cli.COMMANDS["train"], ["config.py", "--check", "--data.no-skip-unreadable"], "cmd") == 2
    assert is_plain(capsys.readouterr().err)


def test_warnings_of_a_command_are_plain():
    assert is_plain(script._format_warning(UserWarning(CLEAR), UserWarning, "file.py", 1))
