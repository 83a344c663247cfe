"""What a run folder says is checked before it is used: form, size, then meaning; errors name file and field."""

import contextlib
import copy
import io
import json
import re
import shutil
import struct
import tracemalloc
import zipfile

import jax
import numpy as np
import optax
import pytest
from tiny_run import INFO, NETWORK, SHAPE, tiny_run

import jaxdiff as jd
from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.npz import nested, read_npz, write_npz
from jaxdiff.training.packed import NAME, pack, unpack
from jaxdiff.training.restore import CheckpointError, seal
from jaxdiff.training.run_folder import check_class_names, read_run

CLEAN = r"(?s)^got .*; expected .*; to fix: "


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module")
def packed(run, tmp_path_factory):
    return pack(run, tmp_path_factory.mktemp("packed") / "tiny")


@pytest.fixture
def small(packed, tmp_path):
    """A packed model to break."""
    return shutil.copytree(packed, tmp_path / "small")


def changed(folder, *path, to):
    """run.json with another value at a place; `to` "DELETE" removes it."""
    values = json.loads((folder / "run.json").read_text())
    place = values
    for name in path[:-1]:
        place = place[name]
    if to == "DELETE":
        del place[path[-1]]
    else:
        place[path[-1]] = to
    (folder / "run.json").write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (("config",), [], "config .*expected a dict"),
        (("config",), "DELETE", "no field config"),
        (("config", "type"), "Popen", "config 'Popen'"),
        (("config", "type"), "Every", "config of Every with unknown"),
        (("config", "patch"), [8, "8"], r"config\.patch\[1\] '8'; expected an integer"),
        (("config", "patch"), {"a": 1}, r"config\.patch .*expected a list"),
        (("config", "steps"), True, r"config\.steps True"),
        (("config", "steps"), "7", r"config\.steps '7'; expected an integer"),
        (("config", "sigma_data"), float("nan"), r"config\.sigma_data nan; expected a finite number"),
        (("config", "predicts"), "y", r"config\.predicts 'y'; expected one of"),
        (("config", "nmae"), 1, "with unknown 'nmae'"),
        (("config", "network", "width"), 8.5, r"config\.network\.width 8\.5"),
        (("config", "network", "width"), 10**30, r"config\.network\.width"),
        (("config", "network", "width"), -8, r"config\.network: UNet width=-8"),
        (("config", "network", "blocks"), 10**9, r"config\.network: UNet blocks=1000000000"),
        (("config", "network", "type"), "Cosine", r"config\.network\.type 'Cosine'; expected one of UNet"),
        (("config", "schedule", "type"), "subprocess.Popen", r"config\.schedule\.type"),
        (("config", "schedule", "s"), "a", r"config\.schedule\.s 'a'"),
        (("config", "data", "camera", "gain"), 0, r"config\.data\.camera: gain=0"),
        (("config", "ema"), None, r"config\.ema None"),
        (("network", "width"), 16, r"network\.width 16 beside config\.network 8"),
        (("predicts",), "eps", "predicts 'eps' beside config.predicts 'v'"),
        (("shape",), [8, 8, 2], "shape .* beside config.patch"),
        (("shape",), [8, -8, 1], "shape"),
        (("normaliser",), None, "normaliser None; expected a dict"),
        (("normaliser", "scale"), [0.0], "normaliser: .*scale and std above 0"),
        (("normaliser", "std"), [-1.0], "normaliser: .*scale and std above 0"),
        (("normaliser", "mean"), [float("nan")], r"normaliser\.mean\[0\] nan; expected a finite number"),
        (("normaliser", "mean"), [0.0, 1.0], "one number a channel"),
        (("normaliser", "mean"), [1e30], r"normaliser, by which -3 and 3 are the grey levels \[\[inf\], \[inf\]\]"),
        (("normaliser", "std"), [1e9], r"normaliser, by which -3 and 3 are the grey levels \[\[-inf\], \[inf\]\]"),
        (
            ("normaliser", "scale"),
            [1e-320],
            r"normaliser, by which -3 and 3 are the grey levels \[\[200.0\], \[200.0\]\]",
        ),
        (("normaliser", "map"), "log", r"normaliser\.map 'log'; expected one of linear"),
        (("data", "axes"), "XYC", "data: axes 'XYC'"),
        (("data", "class_names"), [1, 2], r"data\.class_names\[0\] 1; expected text"),
        (
            ("data", "class_names"),
            ["a", "b"],
            r"data\.class_names \('a', 'b'\); expected 3 names, the network's num_classes",
        ),
        (("data", "class_names"), ["a", "b", "c", "d"], r"data\.class_names .*expected 3 names"),
        (("data", "class_names"), "abc", r"data\.class_names 'abc'; expected a list"),
        (("data", "pixel_size", "Y"), -0.65, "pixel_size"),
        (("data", "pixel_size"), [0.65, 0.65], r"data\.pixel_size .*expected a dict"),
        (("data", "dtype"), "object", "data: dtype 'object'"),
        (("data", "channel_names"), ["a", "b"], "normaliser 1 beside the channels of data 2"),
        (("pairing",), {"pairs": {"type": "Every"}}, "no field inputs of pairing"),
        (("pairing",), {"pairs": {"type": "UNet"}, "inputs": None}, r"pairing\.pairs"),
        (("format",), True, "another format"),
        (("format",), 2, "another format"),
        (("step",), "7", "step '7'; expected an integer"),
        (("step",), -7, "step -7; expected 0 or more"),
        (("schedule", "name"), "Karras", r"schedule\.name 'Karras' beside config\.schedule\.type 'Cosine'"),
        (("schedule", "name"), "DELETE", r"schedule\.name None beside config\.schedule\.type 'Cosine'"),
    ],
)
def test_run_json(small, path, to, message):
    changed(small, *path, to=to)
    with pytest.raises(ValueError, match=message) as error:
        jd.load(small)
    assert re.search(CLEAN, str(error.value))
    assert str(small / "run.json") in str(error.value)


def test_training_is_refused_what_could_not_be_loaded():
    with pytest.raises(ValueError, match=r"class_names of the data .*expected 4 names.*--network.num-classes 3"):
        check_class_names(NETWORK.clone(num_classes=4), INFO)
    for network, info in (
        (NETWORK.clone(num_classes=0), INFO),
        (NETWORK, INFO.replace(class_names=())),
        (NETWORK, INFO),
    ):
        check_class_names(network, info)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b'{"format": 1, "format": 1}', b"\x00" * 1000, b"[]", b"1"]
)
def test_a_run_json_that_is_none(small, content):
    (small / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match=CLEAN):
        read_run(small)


def test_infinite_where_that_means_something(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    changed(folder, "config", "optimizer", "clip", to=float("inf"))
    changed(folder, "config", "minutes", to=float("inf"))
    assert jd.load(folder).step == 7
    changed(folder, "config", "optimizer", "clip", to=float("nan"))
    with pytest.raises(ValueError, match=r"config\.optimizer\.clip nan"):
        jd.load(folder)


def test_parameters_of_another_network_are_told_by_name(run, packed, tmp_path):
    for folder in (run, packed):
        other = shutil.copytree(folder, tmp_path / f"{folder.parent.name}")
        for place in (("config", "network"), ("network",)):
            changed(other, *place, "width", to=16)
        with pytest.raises(ValueError, match=r"conv_in/kernel.*\[3, 3, 1, 8\].*\[3, 3, 1, 16\]") as error:
            jd.load(other)
        assert re.search(CLEAN, str(error.value))


def arrays(folder):
    return dict(read_npz(folder / NAME))


def test_missing_left_over_and_other_shapes_are_told_together(small):
    values = arrays(small)
    first, second = "params/conv_in/kernel", "params/conv_out/kernel"
    values[first] = values[first][..., :4]
    values["params/more/kernel"] = values.pop(second)
    write_npz(small / NAME, values, "float16")
    with pytest.raises(ValueError, match="with 3 arrays that are not those of the network") as error:
        jd.load(small)
    for words in (
        f"{first}: [3, 3, 1, 4], expected [3, 3, 1, 8]",
        f"{second}: missing",
        "params/more/kernel: left over",
    ):
        assert words in str(error.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_parameters_that_are_not_finite_are_said(small, tmp_path, bad):
    values = {name: array.copy() for name, array in arrays(small).items()}
    values["params/conv_in/kernel"][0, 0] = bad
    np.savez(small / NAME, **values)
    with pytest.raises(ValueError, match="NaN or infinite numbers: 8 in params/conv_in/kernel; expected finite"):
        jd.load(small)
    run = shutil.copytree(tiny_run(tmp_path / "tiny"), tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    batch = {"image": np.zeros((1, *SHAPE)), "cond": {"label": np.zeros(1, np.int32)}}
    shapes = jd.TrainState.shapes(jax.random.key(0), NETWORK, optax.sgd(0.1), batch)
    state = jax.tree.map(lambda leaf: np.full(leaf.shape, bad, leaf.dtype) if leaf.dtype == np.float32 else 7, shapes)
    with Checkpoints(run / "checkpoints") as checkpoints:
        checkpoints.save(
            state.replace(step=np.int32(7), skipped=np.int32(0), skipped_in_row=np.int32(0)), {}, wait=True
        )
    for ema in (True, False):
        with pytest.raises(ValueError, match=r"at step 7 with NaN or infinite numbers: .* more leaves"):
            jd.load(run, ema=ema)


def header(shape, dtype="<f4"):
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (64 - (len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def zipped(content, method=zipfile.ZIP_DEFLATED, name="params/a.npy", copies=1):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as file:
        for _ in range(copies):
            file.writestr(name, content)
    return data.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(header((10**12,)) + b"\0" * 64), r"promises float32\[1000000000000\]"),
        (zipped(header((2**62, 2**62)) + b"\0" * 64), "promises"),
        (zipped(header((-4,)) + b"\0" * 16), "shape"),
        (zipped(header((4,)) + b"\0" * 12), r"of 140 bytes promises float32\[4\]"),
        (zipped(header((4,)) + b"\0" * 20), "promises"),  # with less read than there is, no checksum would be compared
        (zipped(header((2,), "|O") + b"\0" * 16), "holds no numbers"),
        (zipped(header((2,), "<U4") + b"\0" * 32), "holds no numbers"),
        (zipped(b"\x93NUMPY\x01\x00" + b"(" * 500), "cannot be read"),
        (zipped(b"(" * 3000), "cannot be read"),
        (zipped(header((4,)) + b"\0" * 16, copies=2), "twice"),
        (zipped(header((4,)) + b"\0" * 16, name="a.txt"), "no .npy"),
        (zipped(header((4,)) + b"\0" * 16, zipfile.ZIP_LZMA), "another method"),
        (b"PK\x05\x06" + b"\0" * 17, "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_arrays_that_cannot_be(small, content, message):
    (small / NAME).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        unpack(small)
    assert re.search(CLEAN, str(error.value))
    assert str(small / NAME) in str(error.value)


def test_no_memory_is_taken_for_what_a_zip_promises(small):
    """64 MB of zeros in 64 KB, as an array that the network does not have."""
    (small / NAME).write_bytes(zipped(header((2**24,)) + b"\0" * 2**26))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="params/a: left over"):
            jd.load(small)
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_an_array_is_no_folder_of_arrays():
    one = np.ones(1)
    for names in (("a", "a/b"), ("a/b", "a")):
        with pytest.raises(ValueError, match="expected either"):
            nested(dict.fromkeys(names, one))


def test_every_byte_of_the_arrays_is_checked(small):
    """Damage anywhere gives the same arrays or an error: the checksum is compared to the end of every member."""
    whole, expected = (small / NAME).read_bytes(), unpack(small)
    rng = np.random.default_rng(1)
    for place in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        (small / NAME).write_bytes(damaged)
        with contextlib.suppress(ValueError):
            jax.tree.map(np.testing.assert_array_equal, unpack(small), expected)


def test_what_is_stored_is_not_changed_by_reading(run):
    values = json.loads((run / "run.json").read_text())
    before = copy.deepcopy(values)
    assert read_run(run) == before


@pytest.mark.parametrize("crc", [3, "x", [], [3], [[3]], [[[[0, "a"]], 1]], None, {}])
def test_checksums_that_are_none_are_damage(run, tmp_path, crc):
    """Of a checkpoint whose own seal fits: whoever wrote it."""
    folder = shutil.copytree(run, tmp_path / "run")
    path = folder / "checkpoints" / "7" / "meta" / "metadata"
    sealed = json.loads(path.read_text())
    leaves = sealed["leaves"] | dict.fromkeys(sealed["leaves"], crc)
    path.write_text(json.dumps(seal(sealed["meta"], leaves)))
    with pytest.raises(CheckpointError, match=CLEAN):
        jd.load(folder, 7)
