"""The loop over a folder: every image its results, faults one by one, and a killed run that is gone on with."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxdiff.commands.folders import as_read
from jaxdiff.commands.folders.as_read import AsRead
from jaxdiff.commands.folders.over_folder import over_folder
from jaxdiff.data.errors import DataError
from jaxdiff.data.files.read import read_image
from jaxdiff.data.files.write import write_image
from jaxdiff.data.info import DataInfo
from jaxdiff.data.shown.objects import write_csv
from jaxdiff.lock import NAME, LockedError

MODEL = DataInfo("YXC", ("DAPI",), pixel_size={"Y": 0.5, "X": 0.5}, unit="µm", dtype="uint16")
SUFFIXES = (".ome.tif", ".csv")


def tiff(path: Path, array, axes="YX", size=0.5, **metadata):
    """OME-TIFF as other programs write it."""
    sizes = {f"PhysicalSize{a}": size for a in "YX"} | {f"PhysicalSize{a}Unit": "µm" for a in "YX"}
    tifffile.imwrite(path, array, ome=True, metadata={"axes": axes, **(sizes if size else {}), **metadata})


@pytest.fixture
def inputs(tmp_path) -> Path:
    """Three good images, 'a' to 'c'."""
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        tiff(folder / f"{name}.ome.tif", rng.integers(1, 4000, (9, 12)).astype(np.uint16))
    return folder


class Invert:
    """A task: one image and one table out, one number."""

    def __init__(self, out: Path):
        self.out, self.seen = out, []

    def __call__(self, image, info, name):
        self.seen.append(name)
        write_image(self.out / f"{name}.ome.tif", 4095 - image.astype(np.int32), info)
        write_csv(self.out / f"{name}.csv", {"mean": np.array([image.mean()])})
        return {"mean": image.mean(dtype=np.float32), "note": "inverted"}


def run(inputs, out, work=None, **options):
    options = {"suffixes": SUFFIXES, "resume": False, "expected": MODEL, "describe": {"calls": 4}} | options
    return over_folder(inputs, out, work or Invert(out), **options)


def summary(out):
    return json.loads((out / "summary.json").read_text())


def listing(out):
    return sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())


def test_every_image_has_its_results_with_axes_and_pixel_size(inputs, tmp_path, capsys):
    (inputs / "notes.txt").touch()
    assert run(inputs, tmp_path / "out") == 0
    wanted = [f"{n}{s}" for n in "abc" for s in SUFFIXES] + [f"records/{n}.json" for n in "abc"] + ["summary.json"]
    assert listing(tmp_path / "out") == sorted(wanted)
    image, info = read_image(inputs / "b.ome.tif")
    result, kept = read_image(tmp_path / "out" / "b.ome.tif")
    np.testing.assert_array_equal(result, 4095 - image)
    assert kept == info
    assert info.pixel_size == {"Y": 0.5, "X": 0.5}
    told = summary(tmp_path / "out")
    assert {k: told[k] for k in ("complete", "images", "done", "failed", "before", "options")} == {
        "complete": True, "images": 3, "done": 3, "failed": 0, "before": 0, "options": {"calls": 4}
    }  # fmt: skip
    (record,) = (r for r in told["files"] if r["name"] == "b")
    assert record["file"] == "b.ome.tif"
    assert record["warnings"] == []
    assert record["numbers"] == {"mean": float(image.mean(dtype=np.float32)), "note": "inverted"}
    printed = capsys.readouterr()
    assert "1 .txt" in printed.out
    assert "3 of 3 images done" in printed.out
    assert "image/s" in printed.err or "s/image" in printed.err  # the rate


def test_one_file_is_enough(inputs, tmp_path):
    assert run(inputs / "c.ome.tif", tmp_path / "out") == 0
    assert [r["name"] for r in summary(tmp_path / "out")["files"]] == ["c"]


def test_images_of_a_series_are_numbered_and_read_alone(inputs, tmp_path):
    movie = np.arange(3 * 9 * 12, dtype=np.uint16).reshape(3, 9, 12)
    tiff(inputs / "movie.tif", movie, "TYX")
    work = Invert(tmp_path / "out")
    assert run(inputs, tmp_path / "out", work) == 0
    assert work.seen == ["a", "b", "c", "movie_0000", "movie_0001", "movie_0002"]
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "movie_0002.ome.tif")[0][..., 0], 4095 - movie[2])


def test_axes_are_asked_for_and_may_be_stated(tmp_path, inputs):
    for file in inputs.iterdir():
        file.unlink()
    tifffile.imwrite(inputs / "plain.tif", np.ones((5, 9, 12), np.uint16), metadata=None)
    assert run(inputs, tmp_path / "one") == 1
    assert "to fix" in summary(tmp_path / "one")["files"][0]["reason"]
    assert run(inputs, tmp_path / "two", axes="TYX") == 0
    assert summary(tmp_path / "two")["images"] == 5


def test_what_is_wrong_with_one_is_said_and_the_rest_is_done(inputs, tmp_path, capsys):
    ones, rng = np.ones((9, 12), np.uint16), np.random.default_rng(1)
    tiff(inputs / "blank.tif", 0 * ones)
    tiff(inputs / "colour.ome.tif", np.ones((9, 12, 3), np.uint8), "YXS", photometric="rgb")
    tiff(inputs / "damaged.tif", rng.integers(0, 4000, (200, 200)).astype(np.uint16))
    (inputs / "damaged.tif").write_bytes((inputs / "damaged.tif").read_bytes()[:40_000])
    tiff(inputs / "mask.ome.tif", ones > 0)
    Image.fromarray(np.ones((9, 12), np.uint8)).convert("P").save(inputs / "palette.png")
    tiff(inputs / "two.ome.tif", np.stack([ones, ones]), "CYX")
    tiff(inputs / "volume.ome.tif", np.stack([ones, ones]), "ZYX")
    (inputs / "z.tif").write_bytes(b"")

    class Work(Invert):
        def __call__(self, image, info, name):
            if name == "b":
                write_image(self.out / "b.ome.tif", image, info)
                raise RuntimeError("half of it was there")
            if name == "c":
                write_csv(self.out / "c.csv", {})
                return {}
            return super().__call__(image, info, name)

    assert run(inputs, tmp_path / "out", Work(tmp_path / "out")) == 1
    told = summary(tmp_path / "out")
    assert (told["images"], told["done"], told["failed"]) == (11, 2, 9)
    reasons = {r["name"]: r.get("reason") for r in told["files"]}
    for name, wanted in {
        "a": None,
        "b": "RuntimeError: half of it was there",
        "blank": None,
        "c": "RuntimeError: c.ome.tif was not written",
        "colour": "3 colour samples; expected axes YX and 1 channel(s)",
        "damaged": "damaged.tif, which cannot be read",
        "mask": "pixels of type bool",
        "palette": "palette.png with a palette",
        "two": "two.ome.tif with axes YX and 2 channel(s); expected axes YX and 1 channel(s)",
        "volume": "axes ZYX and 1 channel(s); expected axes YX",
        "z": "z.tif, which cannot be read",
    }.items():
        assert (reasons[name] is None) if wanted is None else (wanted in reasons[name]), name
    results = [f"{n}{s}" for n in ("a", "blank") for s in SUFFIXES] + ["records/a.json", "records/blank.json"]
    assert listing(tmp_path / "out") == sorted([*results, "summary.json"])
    printed = capsys.readouterr()
    assert "2 of 11 images done" in printed.out
    assert printed.out.count("\nfailed: ") == 9
    assert "b: RuntimeError: half of it was there" in printed.err

    (inputs / "two.ome.tif").unlink()
    again = Invert(tmp_path / "out")
    assert run(inputs, tmp_path / "out", again, resume=True) == 1
    assert again.seen == ["b", "c"]  # what failed is tried again
    assert summary(tmp_path / "out")["before"] == 2


def test_another_kind_of_image_is_warned_about_once(inputs, tmp_path, capsys):
    ones = np.ones((9, 12), np.uint16)
    tiff(inputs / "d.ome.tif", ones, size=0.25)
    tiff(inputs / "e.ome.tif", ones, size=0.25)
    tiff(inputs / "f.ome.tif", ones, size=None)
    tiff(inputs / "g.ome.tif", ones.astype(np.uint8), Channel={"Name": ["GFP"]})

    class Work(Invert):
        def __call__(self, image, info, name):
            if name == "f":
                warnings.warn("was reflected", stacklevel=1)
            return super().__call__(image, info, name)

    assert run(inputs, tmp_path / "out", Work(tmp_path / "out")) == 0
    told = {r["name"]: r["warnings"] for r in summary(tmp_path / "out")["files"]}
    assert told["a"] == []
    assert told["d"] == told["e"]
    assert "not that of the model's training, but 0.5 times in Y, 0.5 times in X; to fix: resize" in told["d"][0]
    assert told["f"] == ["was reflected"]
    assert [text.split(":")[0] for text in told["g"]] == [
        "pixels are uint8, those of the model's training uint16",
        "channels are named GFP, those of the model DAPI",
    ]
    assert capsys.readouterr().err.count("0.5 times in Y") == 1


def test_numbers_that_are_none_are_text(inputs, tmp_path):
    work = Invert(tmp_path / "out")
    assert run(inputs, tmp_path / "out", lambda *a: work(*a) | {"mean": np.float32("nan"), "n": np.int64(3)}) == 0
    assert summary(tmp_path / "out")["files"][0]["numbers"] == {"mean": "nan", "n": 3, "note": "inverted"}


def test_what_is_done_is_not_done_again(inputs, tmp_path, capsys):
    out = tmp_path / "out"
    run(inputs, out)
    first = summary(out)
    (out / "a.csv").unlink()  # a result is gone
    tiff(inputs / "b.ome.tif", np.full((9, 12), 7, np.uint16))  # another image of the same name
    tiff(inputs / "d.ome.tif", np.ones((9, 12), np.uint16))  # a new one
    (out / "c.ome.tif").touch()
    again = Invert(out)
    assert run(inputs, out, again, resume=True) == 0
    assert again.seen == ["a", "b", "d"]
    assert summary(out)["files"][2] == first["files"][2]
    assert read_image(out / "b.ome.tif")[0].min() == 4095 - 7
    assert "4 of 4 images done, 1 of them before" in capsys.readouterr().out
    nothing = Invert(out)
    assert run(inputs, out, nothing, resume=True) == 0
    assert nothing.seen == []


KILLED = """
import os, signal, sys
from pathlib import Path
from jaxdiff.data.shown.objects import write_csv
from jaxdiff.commands.folders import over_folder as module
sys.path.insert(0, {tests!r})
from test_over_folder import Invert, run

class Work(Invert):
    def __call__(self, image, info, name):
        if name == "b":  # in the middle of the second image, with one result there and one half written
            write_csv(self.out / "b.csv", {{}})
            (self.out / ".b.ome.tif.1.partial").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(image, info, name)

run(Path({inputs!r}), Path({out!r}), Work(Path({out!r})), resume={resume})
"""


def test_a_killed_run_is_gone_on_with(inputs, tmp_path):
    out, root = tmp_path / "out", Path(__file__).parents[2]
    code = KILLED.format(tests=str(Path(__file__).parent), inputs=str(inputs), out=str(out), resume=False)
    killed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = [".b.ome.tif.1.partial", NAME, "a.csv", "a.ome.tif", "b.csv", "records/a.json", "summary.json"]
    assert listing(out) == left
    assert not summary(out)["complete"]
    with pytest.raises(
        DataError, match=r"not empty; expected a new or empty folder; to fix: another --out, or --resume"
    ):
        run(inputs, out)

    again = Invert(out)
    assert run(inputs, out, again, resume=True) == 0
    assert again.seen == ["b", "c"]
    whole = tmp_path / "whole"
    assert run(inputs, whole) == 0
    assert listing(out) == listing(whole)
    for name in [n for n in listing(whole) if n.endswith(SUFFIXES)]:
        assert (out / name).read_bytes() == (whole / name).read_bytes() or name.endswith(".tif"), name
        if name.endswith(".tif"):  # a TIFF has a date and an identity of its own
            np.testing.assert_array_equal(read_image(out / name)[0], read_image(whole / name)[0])


def test_an_interrupt_ends_it_and_it_can_be_gone_on_with(inputs, tmp_path):
    class Work(Invert):
        def __call__(self, image, info, name):
            if name == "b":
                raise KeyboardInterrupt
            return super().__call__(image, info, name)

    with pytest.raises(KeyboardInterrupt):
        run(inputs, tmp_path / "out", Work(tmp_path / "out"))
    assert run(inputs, tmp_path / "out", resume=True) == 0


def test_a_full_disk_ends_it(inputs, tmp_path):
    def work(image, info, name):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"full disk at a .* to fix: free some space"):
        run(inputs, tmp_path / "out", work)


def test_refused_before_any_work(inputs, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(DataError, match="does not exist"):
        run(tmp_path / "none", out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="without images"):
        run(tmp_path / "empty", out)
    Image.fromarray(np.ones((9, 12), np.uint8)).save(inputs / "B.png")
    with pytest.raises(DataError, match=r"B.png and b.ome.tif, which would both have b\.\S+ as a result; .* rename"):
        run(inputs, out)
    (inputs / "B.png").unlink()
    tiff(inputs / "a_mean.tif", np.ones((9, 12), np.uint16))
    with pytest.raises(DataError, match=r"a.ome.tif and a_mean.tif, which would both have a_mean.ome.tif as a result"):
        run(inputs, out, suffixes=(".ome.tif", "_mean.ome.tif"))
    (inputs / "a_mean.tif").unlink()
    assert not out.exists()
    with pytest.raises(DataError, match=r"not empty; expected a new or empty folder; to fix: another --out$"):
        run(inputs, inputs)
    with pytest.raises(DataError, match=r"--resume in .*, without summary.json"):
        run(inputs, inputs, resume=True)
    run(inputs, out, resume=True)  # nothing there yet
    before = (out / "summary.json").read_bytes()
    with pytest.raises(
        DataError, match=r"other options:\n  calls: 4 before, 8 now\n  solver.order: None before, 2 now"
    ):
        run(inputs, out, resume=True, describe={"calls": 8, "solver": {"order": 2}})
    assert (out / "summary.json").read_bytes() == before
    (out / "summary.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="another format"):
        run(inputs, out, resume=True)


def test_another_process_on_the_same_folder_is_refused_whether_it_goes_on_or_not(inputs, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "link").symlink_to(out)
    done = []

    class Work(Invert):
        def __call__(self, image, info, name):
            for path, resume in ((out, False), (out, True), (tmp_path / "link", True)):
                with pytest.raises(LockedError, match="another process is writing"):
                    run(inputs, path, resume=resume)
            done.append(name)
            return super().__call__(image, info, name)

    assert run(inputs, out, Work(out)) == 0
    assert done == ["a", "b", "c"]
    assert not (out / NAME).exists()


def test_a_record_is_of_the_input_as_it_was_read(inputs, tmp_path):
    """The file becomes another one while its results are made, and while those of the image before it are."""
    out, before = tmp_path / "out", (inputs / "a.ome.tif").read_bytes()
    later = np.full((5, 7), 9, np.uint16)

    class Work(Invert):
        def __call__(self, image, info, name):
            if name == "a":
                for other in "ab":
                    tiff(inputs / f"{other}.ome.tif", later)
            return super().__call__(image, info, name)

    assert run(inputs, out, Work(out)) == 0
    records = {r["name"]: r for r in summary(out)["files"]}
    assert records["a"]["sha256"] == hashlib.sha256(before).hexdigest()
    assert records["b"]["sha256"] == hashlib.sha256((inputs / "b.ome.tif").read_bytes()).hexdigest()
    assert read_image(out / "a.ome.tif")[0].shape == (9, 12, 1)
    np.testing.assert_array_equal(read_image(out / "b.ome.tif")[0], 4095 - later[..., None])
    again = Invert(out)
    assert run(inputs, out, again, resume=True) == 0
    assert again.seen == ["a"]
    assert read_image(out / "a.ome.tif")[0].shape == (5, 7, 1)


def test_a_file_that_changes_while_it_is_read_has_no_results(inputs, tmp_path, monkeypatch):
    from jaxdiff.commands.folders import over_folder as module

    read, out = module.read, tmp_path / "out"

    def slowly(image, *args):
        pixels = read(image, *args)
        if image.path.name.startswith("b"):
            tiff(image.path, np.ones((9, 12), np.uint16))
        if image.path.name.startswith("c"):
            image.path.unlink()
        return pixels

    monkeypatch.setattr(module, "read", slowly)
    assert run(inputs, out) == 1
    reasons = {r["name"]: r.get("reason", "") for r in summary(out)["files"]}
    assert "b.ome.tif, which changed while it was read" in reasons["b"]
    assert "c.ome.tif, which changed while it was read" in reasons["c"]
    monkeypatch.setattr(module, "read", read)
    again = Invert(out)
    assert run(inputs, out, again, resume=True) == 0
    assert again.seen == ["b"]


def test_results_of_images_that_are_gone_are_said_and_stay(inputs, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(inputs, out) == 0
    assert "without_input" not in summary(out)
    (inputs / "b.ome.tif").unlink()
    before = listing(out)
    capsys.readouterr()
    assert run(inputs, out, resume=True) == 0
    assert "results without an image in" in (said := capsys.readouterr().out)
    assert "left alone: b\n" in said
    assert summary(out)["without_input"] == ["b"]
    assert [record["name"] for record in summary(out)["files"]] == ["a", "c"]
    assert listing(out) == before


def test_a_file_that_lost_an_image_meanwhile(inputs, tmp_path):
    movie = np.ones((3, 9, 12), np.uint16)
    tiff(inputs / "d.tif", movie, "TYX")

    class Work(Invert):
        def __call__(self, image, info, name):
            if name == "d_0001":
                tiff(inputs / "d.tif", movie[:2], "TYX")
            return super().__call__(image, info, name)

    assert run(inputs, tmp_path / "out", Work(tmp_path / "out")) == 1
    assert "d_0002 is no longer in it" in summary(tmp_path / "out")["files"][-1]["reason"]


def test_a_change_within_the_grain_of_the_clock_is_noticed(tmp_path, monkeypatch):
    """Two states of a file with the same size and times: what was just written is held to its bytes."""
    path = tmp_path / "a"
    path.write_bytes(b"one")
    source = AsRead(path)
    path.write_bytes(b"two")
    monkeypatch.setattr(as_read, "stamp", lambda _: source.stamp)
    with pytest.raises(DataError, match="changed while it was read"):
        source.check()
    path.write_bytes(b"one")
    source.check()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"{"),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.write_bytes(b"null"),
        lambda path: path.write_bytes(b"[" * 100_000),
        lambda path: path.write_bytes(b'{"sha256": 3}'),
        lambda path: path.write_text(path.read_text().replace('"done"', '"failed"')),
        lambda path: path.write_text(path.read_text().replace('"mean"', '"mode"')),
        lambda path: (path.unlink(), (path / "below").mkdir(parents=True)),
        lambda path: (path.unlink(), os.mkfifo(path)) if hasattr(os, "mkfifo") else path.unlink(),
        lambda path: (path.parents[1] / "b.csv").write_bytes(b""),
        lambda path: (path.parents[1] / "b.ome.tif").open("ab").write(b"\0"),
        lambda path: ((path.parents[1] / "b.csv").unlink(), (path.parents[1] / "b.csv").mkdir()),
    ],
)
def test_a_damaged_record_or_result_costs_one_image(inputs, tmp_path, damage):
    out = tmp_path / "out"
    run(inputs, out)
    whole = {name: (out / name).read_bytes() for name in listing(out) if name.endswith(".csv")}
    damage(out / "records" / "b.json")
    again = Invert(out)
    assert run(inputs, out, again, resume=True) == 0
    assert again.seen == ["b"]
    assert {name: (out / name).read_bytes() for name in whole} == whole
    assert summary(out)["before"] == 2
    nothing = Invert(out)
    assert run(inputs, out, nothing, resume=True) == 0
    assert nothing.seen == []


@pytest.mark.parametrize(
    "changes",
    [
        *({name: None} for name in ("name", "file", "status", "warnings", "numbers", "seconds", "sha256", "results")),
        {"status": "failed"},
        {"name": "a"},
        {"warnings": {}},
        {"numbers": []},
        {"numbers": {"note": "inverted"}},
        {"numbers": {"mean": "3"}},
        {"results": ["b.csv"]},
        {"blank": 1},
    ],
    ids=str,
)
def test_a_record_of_another_form_costs_one_image_though_its_checksum_holds(inputs, tmp_path, changes):
    """None: the field is missing. Such records ended the run with a KeyError, or stayed in its summary."""
    out, numbers = tmp_path / "out", {"mean": float}
    run(inputs, out, numbers=numbers)
    path = out / "records" / "b.json"
    record = {name: value for name, value in (json.loads(path.read_text()) | changes).items() if value is not None}
    record["crc32"] = zlib.crc32(json.dumps({k: v for k, v in record.items() if k != "crc32"}, sort_keys=True).encode())
    path.write_text(json.dumps(record))
    again = Invert(out)
    assert run(inputs, out, again, resume=True, numbers=numbers) == 0
    assert again.seen == ["b"]
    assert [(one["name"], one["status"]) for one in summary(out)["files"]] == [(name, "done") for name in "abc"]


def test_a_result_without_a_byte_is_none(inputs, tmp_path):
    class Work(Invert):
        def __call__(self, image, info, name):
            numbers = super().__call__(image, info, name)
            (self.out / f"{name}.csv").write_bytes(b"")
            return numbers

    assert run(inputs, tmp_path / "out", Work(tmp_path / "out")) == 1
    assert summary(tmp_path / "out")["files"][0]["reason"] == "RuntimeError: a.csv was written without a byte"


def test_a_folder_as_result_is_held_to_its_files(inputs, tmp_path):
    out = tmp_path / "out"

    def work(image, info, name):
        done.append(name)
        (out / f"{name}.zarr" / "0").mkdir(parents=True)
        (out / f"{name}.zarr" / "0" / "chunk").write_bytes(b"1234")
        (out / f"{name}.zarr" / "about").write_bytes(b"{}")
        return {}

    done = []
    run(inputs, out, work, suffixes=(".zarr",))
    (out / "b.zarr" / "0" / "chunk").write_bytes(b"12")
    (out / "c.zarr" / "about").unlink()
    done.clear()
    assert run(inputs, out, work, suffixes=(".zarr",), resume=True) == 0
    assert done == ["b", "c"]


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[]", b'{"format": 1}', b'{"format": 1, "options": [2]}'])
def test_a_damaged_summary_is_said(inputs, tmp_path, text):
    out = tmp_path / "out"
    run(inputs, out)
    (out / "summary.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"got .*summary.json.*; expected .*; to fix: "):
        run(inputs, out, resume=True)
    assert (out / "summary.json").read_bytes() == text


def test_an_interrupt_says_how_far_it_came_and_leaves_no_half_results(inputs, tmp_path):
    out = tmp_path / "out"

    class Work(Invert):
        def __call__(self, image, info, name):
            if name == "b":
                write_csv(out / "b.csv", {})
                raise KeyboardInterrupt
            return super().__call__(image, info, name)

    with pytest.raises(KeyboardInterrupt, match=r"1 of 3 images are done in .*out; --resume goes on"):
        run(inputs, out, Work(out))
    assert listing(out) == ["a.csv", "a.ome.tif", "records/a.json", "summary.json"]
