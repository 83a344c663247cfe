"""300 damaged files of the formats that are read: refused in our words or read, never wrong in spite of a checksum.

`python -m benchmarks.fuzz` is the same with 10,000 and all formats, in processes whose memory is limited.
"""

import collections
import json
import logging

import numpy as np
import pytest

from benchmarks.fuzz.case import CLEAN, Whole, equal
from benchmarks.fuzz.formats import FORMATS
from benchmarks.fuzz.image_files import Format
from benchmarks.fuzz.mutations import BYTES, damaged
from benchmarks.store import RESULTS

QUICK = [name for name, format in FORMATS.items() if format.quick]
FILES = 300


@pytest.fixture(autouse=True)
def silent():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", QUICK)
def test_damaged_files_are_refused_or_read(tmp_path, name):
    whole = Whole(FORMATS[name], tmp_path / "files")
    results = [whole.case(np.random.default_rng([16, i])) for i in range(-(-FILES // len(QUICK)))]
    failed = [result for result in results if result.outcome not in ("refused", "same", "changed")]
    assert not failed
    assert equal(whole.expected, whole.expected)


def sealed(folder):
    values = json.loads((folder / "a.json").read_text())
    if values["sum"] != sum(values["numbers"]):
        raise ValueError("got another sum; expected that of the numbers; to fix: copy it again")
    return values


@pytest.mark.parametrize(
    ("read", "checksum", "outcome"),
    [
        (sealed, "sum", {"refused", "same", "wrong"}),  # a sum is a poor checksum, and damage gets past it
        (lambda folder: (folder / "a.json").read_bytes().hex(), None, {"changed", "same"}),
        (lambda folder: (folder / "a.json").read_bytes().hex(), "none in truth", {"wrong", "same"}),
        (lambda folder: json.loads((folder / "a.json").read_bytes())["numbers"][0] + 0, None, {"unclean"}),
    ],
)
def test_each_outcome_is_told_from_the_others(tmp_path, read, checksum, outcome):
    def make(folder):
        (folder / "a.json").write_text(json.dumps({"numbers": [1, 2, 3], "sum": 6}))

    whole = Whole(Format(make, read, ["a.json"], checksum), tmp_path / "files")
    found = collections.Counter(whole.case(np.random.default_rng([1, i])).outcome for i in range(40))
    assert set(found) >= outcome - {"same", "wrong"} if "refused" in outcome else set(found) & outcome


def test_damage_is_the_seeds():
    data = bytes(range(200))
    for name, damage in BYTES.items():
        first, again, other = (damage(bytearray(data), np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert first == again, name
        assert data not in (first, other) or first != other, name
    for seed in range(50):
        name, text = damaged(b'{"a": [1, {"b": "c"}], "d": 2.5}', np.random.default_rng(seed), True)
        assert (name, text) == damaged(b'{"a": [1, {"b": "c"}], "d": 2.5}', np.random.default_rng(seed), True)


def test_the_kept_table_holds_what_the_docs_say():
    table = json.loads((RESULTS / "fuzz.json").read_text())
    assert set(table["formats"]) == set(FORMATS)
    assert table["total"]["files"] >= 10_000
    assert table["faults"] == []
    assert not any(table["total"][name] for name in ("unclean", "wrong", "hang", "blow-up"))
    assert CLEAN.match("got a; expected b; to fix: c")
