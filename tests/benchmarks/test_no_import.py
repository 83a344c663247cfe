"""Nothing is imported by a name in a data folder: every text of every description, in turn, names a planted module."""

import contextlib
import json
import logging
import sys
import warnings

import pytest

from benchmarks.fuzz.case import Whole
from benchmarks.fuzz.formats import FORMATS
from benchmarks.fuzz.mutations import at, changed, places

EVIL = "planted_by_a_data_folder"
NAMES = (f"{EVIL}.part.Class", f"{EVIL}.part:Class", EVIL)
READ = [
    "run.json",
    "checkpoint",
    "diffusers: config",
    "prepared set: descriptions",
    "prepared set: parquet",
    "bulk: manifest and records",
    "folder task: record",
    "generate.json",
]


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A package on the path; the file that its import would write."""
    package, mark = tmp_path / "path" / EVIL, tmp_path / "imported"
    package.mkdir(parents=True)
    for name in ("__init__.py", "part.py"):
        (package / name).write_text(f"open({str(mark)!r}, 'w').close()\nclass Class: pass\n")
    monkeypatch.syspath_prepend(str(package.parent))
    logging.disable(logging.CRITICAL)
    yield mark
    logging.disable(logging.NOTSET)
    for name in [name for name in sys.modules if name.startswith(EVIL)]:
        del sys.modules[name]


def descriptions(folder):
    """The JSON files of a folder, whatever they are called."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 10**5):
        with contextlib.suppress(ValueError):
            values = json.loads(path.read_bytes())
            if isinstance(values, dict):
                yield path, values


@pytest.mark.parametrize("name", READ)
def test_no_name_in_a_description_is_imported(tmp_path, planted, name):
    whole, tried = Whole(FORMATS[name], tmp_path / "files"), 0
    for path, values in descriptions(whole.folder):
        place, before = whole.place / path.relative_to(whole.folder), path.read_bytes()
        texts = [where for where in places(values) if isinstance(at(values, where), str)]
        some = texts if name.startswith("prepared") else texts[:: 1 + len(texts) // 8]
        for i, where in enumerate(some):
            for evil in NAMES if name.startswith("prepared") else (NAMES[i % 3],):
                place.write_text(json.dumps(changed(values, where, evil)))
                with contextlib.suppress(Exception), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    FORMATS[name].read(whole.place)
                tried += 1
                assert not planted.exists(), f"{where} of {path.name}"
        place.write_bytes(before)
    assert tried
    assert EVIL not in sys.modules


def test_an_import_would_be_seen(planted):
    __import__(EVIL)
    assert planted.exists()
