"""An exported sampler is looked at before anything of it runs."""

import io
import json
import re
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as jax_export
from tiny_run import tiny_run

import jaxdiff as jd
from jaxdiff.interop import export_sampler, load_sampler
from jaxdiff.interop.exported import META, PROGRAM, Sampler, _described
from jaxdiff.malformed import within

CLEAN = r"(?s)^got .*; expected .*; to fix: "


BIAS = "weights/params/params/conv_in/bias"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return jd.load(tiny_run(tmp_path_factory.mktemp("runs") / "tiny"))


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "tiny.zip"
    export_sampler(model, path, calls=2, platforms=("cpu",))
    return path


def changed(file, to, **parts):
    """The same zip with other parts; None leaves one out."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            data = parts.pop(name, old.read(name))
            if data is not None:
                new.writestr(zipfile.ZipInfo(name), data)
        for name, data in parts.items():
            new.writestr(zipfile.ZipInfo(name), data)
    return to


def meta(file, **fields):
    with zipfile.ZipFile(file) as zipped:
        return json.dumps({**json.loads(zipped.read(META)), **fields}).encode()


def npy(array):
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def test_it_is_the_program_and_the_weights_of_the_file(model, file):
    """What they draw is tested in test_export.py."""
    sampler, stored = load_sampler(file), np.load(file)
    assert sampler.info == model.info.replace(synthetic=True)
    for name, array in sampler.weights.items():
        np.testing.assert_array_equal(array, stored[name])
    images = jax.eval_shape(lambda: sampler(5, np.arange(3), {"label": np.array([0, 2, -1], np.int32)}))
    assert (images.shape, images.dtype) == ((3, *model.shape), np.float32)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({META: None}, "has no meta.json"),
        ({META: b"{"}, "no JSON"),
        ({META: b"[" * 10**5}, "nested without end"),
        ({PROGRAM: None}, "has no sampler.stablehlo"),
        ({PROGRAM: b""}, "a program of jax.export"),
        ({PROGRAM: b"\0" * 500}, "a program of jax.export"),
        ({"weights/more.npy": npy(np.ones(2))}, "weights/more: left over"),
        ({f"{BIAS}.npy": None}, f"{BIAS}: missing"),
        ({f"{BIAS}.npy": npy(np.ones(2, np.float32))}, rf"{BIAS}: \[2\], expected \[8\]"),
        ({f"{BIAS}.npy": npy(np.ones(8, np.float64))}, f"{BIAS} 'float64'; expected float32"),
        ({f"{BIAS}.npy": npy(np.full(8, np.nan, np.float32))}, f"{BIAS} 'NaN or infinite"),
        ({f"{BIAS}.npy": npy(np.array("a"))}, "holds no numbers"),
        ({"run.py": b"print()"}, "run.py is twice there, or no .npy"),
    ],
)
def test_files_that_are_none(file, tmp_path, parts, message):
    path = changed(file, tmp_path / "a.zip", **parts)
    with pytest.raises(ValueError, match=message) as error:
        load_sampler(path)
    assert re.search(CLEAN, str(error.value))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 2}, "format 2"),
        ({"parameters": 3}, "meta.json: parameters 3; expected"),
        ({"parameters": "3"}, "meta.json: parameters '3'; expected"),
        ({"platforms": ["cuda"]}, "platforms"),
        ({"platforms": "cpu"}, "platforms 'cpu'; expected a list"),
        ({"images": {"axes": "YXC"}}, "data info with"),
        ({"calls": "2"}, "calls '2'"),
        ({"calls": 0}, "calls 0; expected 1 or more"),
        ({"versions": {"jax": 1}}, r"versions\.jax 1; expected text"),
        ({"calling_convention": 99}, "calling_convention 99"),
        ({"arguments": []}, r"arguments \[\]; expected a dict"),
        ({"arguments": {"seed": {"dtype": "int8", "shape": []}}}, "arguments .*as the program has it"),
        ({"result": {"units": "x"}}, r"result\.units 'x'; expected one of data, model"),
        ({"result": {"units": "data"}}, "result .*as the program has it"),
        ({"solver": {"type": None}}, r"solver\.type None; expected text"),
        ({"guidance": None}, "guidance None; expected float or str"),
        ({"network": "UNet"}, "network 'UNet'; expected a dict"),
        ({"network": {"type": "UNet", "width": "8"}}, r"network\.width '8'"),
        ({"network": {"type": "UNet", "num_classes": 2}}, r"images\.class_names .*; expected 2 names"),
        ({"checkpoint": "7"}, "checkpoint '7'; expected an integer"),
        ({"checkpoint": -7}, "checkpoint -7; expected 0 or more"),
        ({"normaliser": {}}, r"a normaliser with \[\]"),
        ({"grid": [1.0, 1.0]}, "grid .*; expected numbers that rise"),
        ({"more": 1}, r"fields \['more'\]"),
        ({"grid": [float("nan")]}, r"grid\[0\] nan"),
    ],
)
def test_descriptions_that_do_not_fit(file, tmp_path, fields, message):
    path = changed(file, tmp_path / "a.zip", **{META: meta(file, **fields)})
    with pytest.raises(ValueError, match=message) as error:
        load_sampler(path)
    assert re.search(CLEAN, str(error.value))
    assert "a.zip" in str(error.value)
    assert META in str(error.value)
    assert "Error" not in str(error.value)  # nothing of the code's inside


OF_PROGRAM = {"arguments", "result", "calling_convention", "parameters", "platforms", "images"}
"""Compared with the program as well."""
LOOSE = {"guidance", "versions", "solver", "checkpoint"}
"""A person's own solver and guidance; None for no checkpoint."""


@pytest.mark.parametrize("value", [None, 1e400, [], [[]], {}, {"dtype": [1]}])
def test_every_field_has_its_kind(file, value):
    """Each field, also inside others, as another kind of value: refused by name, without a word of the code's inside."""
    own = json.loads(meta(file))
    for name, before in own.items():
        for inner in [None, *(before if isinstance(before, dict) else ())]:
            other = value if inner is None else {**before, inner: value}
            if other == before or name in OF_PROGRAM | (LOOSE if inner or value is None else set()):
                continue
            if (name, value) == ("versions", {}):
                continue
            with pytest.raises(ValueError, match=CLEAN) as error, within(META):
                _described({**own, name: other})
            assert name in str(error.value)
            assert "Error" not in str(error.value)


def test_a_program_that_calls_out_of_xla_is_not_run(file, tmp_path):
    call = jax.jit(jax.ffi.ffi_call("somewhere_in_the_process", jax.ShapeDtypeStruct((), jnp.float32)))
    unchecked = [jax_export.DisabledSafetyCheck.custom_call("somewhere_in_the_process")]
    program = jax_export.export(call, disabled_checks=unchecked, platforms=("cpu",))(
        jax.ShapeDtypeStruct((), jnp.float32)
    )
    path = changed(file, tmp_path / "a.zip", **{PROGRAM: bytes(program.serialize())})
    with pytest.raises(ValueError, match=r"custom calls .*somewhere_in_the_process.*; to fix: do not run this file"):
        load_sampler(path)


def test_damage_is_noticed_or_changes_nothing(file, tmp_path):
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    expected = load_sampler(file)
    noticed = 0
    for place in rng.integers(0, len(whole), 12):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path = tmp_path / "a.zip"
        path.write_bytes(damaged)
        try:
            found = load_sampler(path)
        except ValueError:
            noticed += 1
        else:
            same(found, expected)
    assert noticed


def same(found: Sampler, expected: Sampler) -> None:
    jax.tree.map(np.testing.assert_array_equal, found.weights, expected.weights)
    assert found.meta == expected.meta
