"""JSON of a file as typed values: what is refused, and that the error names the field."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from jaxtyping import Float

from jaxdiff.durable import read_json
from jaxdiff.malformed import DEPTH, Malformed, parsed, within
from jaxdiff.schema import INFINITE, dataclass_of, fields, typed


@pytest.mark.parametrize(
    ("kind", "good", "read"),
    [
        (int, 3, 3),
        (float, 3, 3),
        (float, 0.5, 0.5),
        (bool, True, True),
        (str, "µm", "µm"),
        (Path, "a/b", Path("a/b")),
        (int | None, None, None),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[float, float], [1, 2.5], (1, 2.5)),
        (list[int], [], []),
        (Literal["a", "b"] | None, "b", "b"),
        (Mapping[str, float | None], {"Y": None, "X": 1.0}, {"Y": None, "X": 1.0}),
        (Annotated[float, INFINITE], math.inf, math.inf),
        (Any, [1, {"a": [2]}], [1, {"a": [2]}]),
        (list, [1], [1]),
    ],
)
def test_what_fits_is_read(kind, good, read):
    value = typed(kind, json.loads(json.dumps(good)))
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        *((int, bad) for bad in (True, 1.0, "1", None, [1], {}, 2**63, -(2**63), 10**400)),
        *((float, bad) for bad in (False, "1", None, [], math.nan, math.inf, -math.inf, 10**400)),
        *((bool, bad) for bad in (0, 1, "true", None)),
        *((str, bad) for bad in (0, None, ["a"], "\ud800", "a\0b")),
        *((Path, bad) for bad in (0, "a\0b", None)),
        *((tuple[int, ...], bad) for bad in ("12", {"0": 1}, 1, [1, "2"], [True], None)),
        *((tuple[float, float], bad) for bad in ([1], [1, 2, 3])),
        *((Literal["a", "b"], bad) for bad in ("c", 0, None, ["a"])),
        *((Literal[1], bad) for bad in (True, 1.0)),
        *((Mapping[str, float | None], bad) for bad in ([], {"Y": "a"}, {"Y": math.nan})),
        *((Float[np.ndarray, " T"], bad) for bad in (1.0, [[1.0]], ["a"], [math.nan], [True])),
        *((Float[np.ndarray, "T C"], bad) for bad in ([1.0], [[1.0], [1.0, 2.0]])),
        (Annotated[float, INFINITE], math.nan),
        (list, {}),
        (dict, []),
    ],
)
def test_what_does_not_fit_is_refused_by_its_field(kind, bad):
    with pytest.raises(Malformed, match=r"^got config\.x.*; expected .*; to fix: "):
        typed(kind, bad, "config.x")


@dataclass(frozen=True)
class Inner:
    size: int = 1

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"got size={self.size}; expected 1 or more")


@dataclass(frozen=True)
class Other:
    size: int = 1


@dataclass(frozen=True)
class Outer:
    name: str
    parts: tuple[Inner, ...] = ()
    one: Inner | None = None
    by_name: Mapping[str, Inner] = field(default_factory=dict)


def test_a_dataclass_is_read_with_all_that_is_in_it():
    values = {"name": "a", "parts": [{"size": 2}, {}], "one": {"size": 3}, "by_name": {"b": {"size": 4}}}
    expected = Outer("a", (Inner(2), Inner()), Inner(3), {"b": Inner(4)})
    assert dataclass_of(Outer, values) == expected
    tagged = {"name": "a", "one": {"type": "Inner", "size": 3}}
    assert dataclass_of(Outer, tagged, "", {"Inner": Inner}).one == Inner(3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "of Outer without 'name'"),
        ({"name": "a", "nmae": 1}, "of Outer with unknown 'nmae'"),
        ({"name": "a", "parts": [{}, {"size": "x"}]}, r"parts\[1\]\.size 'x'; expected an integer"),
        ({"name": "a", "parts": [{}, {"size": 0}]}, r"parts\[1\]: size=0; expected 1 or more; to fix"),
        ({"name": "a", "by_name": {"b": 1}}, r"by_name\.b 1; expected a dict"),
        ([], "got values"),
    ],
)
def test_faults_inside_a_dataclass_are_named(values, message):
    with pytest.raises(Malformed, match=message):
        dataclass_of(Outer, values)


@pytest.mark.parametrize("name", ["Other", "Popen", "os.system", 3, None, ["Inner"], {}])
def test_a_name_in_a_file_chooses_among_the_annotated_classes_only(name):
    classes = {"Inner": Inner}
    with pytest.raises(Malformed, match=r"one\.type .*; expected one of Inner"):
        dataclass_of(Outer, {"name": "a", "one": {"type": name}}, "", classes)


def test_fields_of_a_dict():
    assert fields({"a": 1, "b": [2]}, {"a": int}) == {"a": 1, "b": [2]}
    assert fields({}, {"a": int}, optional=("a",)) == {}
    for values, message in (({}, "no field a of x"), ({"a": "1"}, r"x\.a '1'"), (None, "got x None; expected a dict")):
        with pytest.raises(Malformed, match=message):
            fields(values, {"a": int}, "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "no JSON"),
        (b"{'a': 1}", "no JSON"),
        (b'{"a": 1}x', "no JSON"),
        (b'{"a": "\xff"}', "no JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "no JSON"),
        (b"1" * 5000, "no JSON"),
        (b'{"a": 1, "a": 2}', "field 'a' twice"),
        (b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1), "levels"),
        (b"[" * 100_000, "nested without end"),
        (b'{"a":' * 100_000, "nested without end"),
    ],
)
def test_what_is_no_json_is_refused_by_the_files_name(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} \(.*{message}.*; expected JSON; to fix"):
        read_json(path)


def test_deep_but_bounded_json_is_read(tmp_path):
    (tmp_path / "a.json").write_text("[" * DEPTH + "]" * DEPTH)
    assert isinstance(read_json(tmp_path / "a.json"), list)
    assert parsed("[NaN, Infinity]")[1] == math.inf  # records hold them; a typed field does not


def test_no_pipe_no_folder_and_no_file_too_large_is_opened(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "large.json").write_text("[" + " " * 100 + "]")
    for name, message in (("pipe", "which is no file"), ("folder", "which is no file"), ("large", "at most 50 bytes")):
        with pytest.raises(ValueError, match=message):
            read_json(tmp_path / f"{name}.json", 50)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("got x 1; expected 2; to fix: 3"), "^got FILE: x 1; expected 2; to fix: 3$"),
        (ValueError("got x 1; expected 2"), "^got FILE: x 1; expected 2; to fix: again$"),
        (ValueError("odd"), "^got FILE: ValueError, odd; expected what jaxdiff wrote; to fix: again$"),
        (KeyError("a"), "^got FILE: KeyError, 'a'; expected"),
        (ZeroDivisionError("by zero"), "^got FILE: ZeroDivisionError"),
        (MemoryError(), "^got FILE: MemoryError, no reason given"),
    ],
)
def test_an_error_is_placed_in_its_file(error, message):
    with pytest.raises(Malformed, match=message), within("FILE", "again"):
        raise error


def test_a_file_that_the_error_names_is_not_named_twice():
    with pytest.raises(Malformed, match=r"^got an odd a\.json; expected 2; to fix: 3$"), within(Path("a.json")):
        raise ValueError("got an odd a.json; expected 2; to fix: 3")
