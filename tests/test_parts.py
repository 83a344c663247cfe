"""Classes by name: a person's own parts are stored by their place, and only what a caller allows is imported."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.parts import Allowed, Parts, at_place, place_of, run_file
from jaxdiff.plain import different_fields, from_plain, own_classes, to_plain
from jaxdiff.training.cadence import Every
from jaxdiff.training.config import CLASSES, TrainConfig
from jaxdiff.training.stored_config import check_round_trip

PACKAGE = """
from dataclasses import dataclass
import subprocess

@dataclass(frozen=True)
class Cosine:
    s: float = 0.5

    @dataclass(frozen=True)
    class Inner:
        size: int = 2

class Plain:
    pass

def function():
    raise AssertionError("called")
"""


@dataclasses.dataclass(frozen=True)
class Cosine:
    """A person's own, of the name of one of ours."""

    s: float = 0.25


class Mixer(nn.Module):
    """A network with what people's networks have in their fields."""

    widths: tuple[int, ...] = (8, 8)
    act: Callable[[Any], Any] = nn.gelu
    dtype: Any = jnp.float32
    inner: Any = None


@dataclasses.dataclass(frozen=True)
class Loose:
    """A part whose fields are not annotated well."""

    value: Any = 0


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of a package `strange_parts` with a module `nets`, importable while the test runs, not yet imported."""
    folder = tmp_path / "site" / "strange_parts"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "nets.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(folder.parent))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "strange_parts"]:
        del sys.modules[name]


def back(value, *classes, allow=()):
    return from_plain(json.loads(json.dumps(to_plain(value))), Parts((*CLASSES, *classes), allow))


def test_ours_are_stored_by_their_name_and_others_by_their_place():
    assert to_plain(jd.Cosine())["type"] == "Cosine"
    assert to_plain(Cosine()) == {"type": f"{__name__}:Cosine", "s": 0.25}
    assert type(back(jd.Cosine(), Cosine)) is jd.Cosine
    assert back(Cosine(), Cosine) == Cosine()
    assert back(Cosine(), allow=Cosine) == Cosine()
    with pytest.raises(ValueError, match=rf"got values of type {__name__}:Cosine; expected parts of jaxdiff"):
        back(Cosine())


def test_what_an_older_version_stored_by_a_bare_name_is_found_but_never_in_the_place_of_ours():
    assert from_plain({"type": "Loose", "value": 3}, Parts(CLASSES, Loose)) == Loose(3)
    assert type(from_plain({"type": "Cosine", "s": 0.25}, Parts(CLASSES, Cosine))) is jd.Cosine


def test_a_package_is_imported_where_it_is_allowed_and_only_then(package):
    values = {"type": "strange_parts.nets:Cosine", "s": 0.75}
    for allow in ((), ("other",), "strange", "strange_parts.net"):
        with pytest.raises(
            ValueError, match=r'allow=\("strange_parts",\)\), or --allow strange_parts, where you trust'
        ):
            from_plain(values, Parts(CLASSES, allow))
    assert "strange_parts" not in sys.modules
    for allow in ("strange_parts", ["strange_parts.nets"]):
        cls = type(from_plain(values, Parts(CLASSES, allow)))
        assert (cls.__module__, cls.__name__) == ("strange_parts.nets", "Cosine")
    inner = from_plain({"type": "strange_parts.nets:Cosine.Inner", "size": 3}, Parts((), "strange_parts"))
    assert to_plain(inner) == {"type": "strange_parts.nets:Cosine.Inner", "size": 3}


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    "name", ["nets:Plain", "nets:function", "nets:nothing", "nets:subprocess.Popen", "nets:dataclass", "nets:"]
)
def test_what_is_no_dataclass_of_an_allowed_module_is_refused(name):
    with pytest.raises(ValueError, match="no dataclass of that module"):
        from_plain({"type": f"strange_parts.{name}"}, Parts((), "strange_parts"))


@pytest.mark.parametrize("name", ["os:system", "subprocess:Popen", "strange_parts.nets:Cosine", "a.py:B", "__main__:B"])
def test_names_that_are_not_allowed_import_nothing(name, package):
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package.parent / "a.py").write_text("raise AssertionError('executed')")
    with pytest.raises(ValueError, match=f"of type {name}; expected parts of jaxdiff"):
        from_plain({"type": name}, Parts(CLASSES, ("elsewhere", Loose)))


def test_a_module_that_fails_or_is_missing_is_said(package):
    (package / "broken.py").write_text("1 / 0")
    for module, reason in (("broken", "ZeroDivisionError"), ("missing", "ModuleNotFoundError")):
        with pytest.raises(ValueError, match=rf"got x: the type strange_parts.{module}:A, which cannot .*{reason}"):
            from_plain({"type": f"strange_parts.{module}:A"}, Parts((), "strange_parts"), "x")


def test_classes_of_a_config_file_are_found_by_its_name(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PACKAGE)
    own = run_file(path).Cosine(s=0.5)
    values = to_plain(own)
    assert values == {"type": "mine.py:Cosine", "s": 0.5}
    loaded = from_plain(values, Parts(CLASSES, (path,)))
    assert loaded.s == 0.5
    assert type(loaded) is not jd.Cosine
    allow = Allowed(str(path))
    assert type(from_plain(values, Parts((), allow))) is type(from_plain(values, Parts((), allow)))  # executed once
    with pytest.raises(ValueError, match=r'jd.load\(run, allow=\("path/mine.py",\)\), or --allow path/mine.py'):
        from_plain(values, Parts(CLASSES, "mine"))
    with pytest.raises(ValueError, match="does not exist"):
        Allowed(tmp_path / "other.py")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.py").write_text("")
    with pytest.raises(ValueError, match="expected files of different names"):
        Allowed((path, tmp_path / "b" / "mine.py"))
    with pytest.raises(ValueError, match="got allow 'a/b'; expected the name of a package"):
        Allowed("a/b")


def test_a_script_and_a_notebook(monkeypatch, tmp_path):
    own = type("Part", (), {"__module__": "__main__"})
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__spec__", None)
    monkeypatch.setattr(main, "__file__", str(tmp_path / "script.py"), raising=False)
    assert place_of(own) == "script.py:Part"
    monkeypatch.delattr(main, "__file__")
    assert place_of(own) == "__main__:Part"
    with pytest.raises(ValueError, match=r"allow=\(Part,\)\) with the class itself"):
        from_plain({"type": "__main__:Part"}, Parts(CLASSES))


def test_a_class_inside_a_function_is_refused_with_the_way_out():
    @dataclasses.dataclass(frozen=True)
    class Local:
        pass

    with pytest.raises(
        ValueError, match=r"got config.data: the class Local inside the function .*to fix: move the class"
    ):
        to_plain({"data": Local()}, "config")


def test_dtypes_and_defaults_without_a_form_come_back():
    network = Mixer(dtype=jnp.bfloat16)
    again = back(network, Mixer)
    assert again == network
    assert again.act is nn.gelu
    assert again.dtype == jnp.bfloat16
    with pytest.raises(ValueError, match=r"got a custom_jvp in config\.network\.act; expected"):
        to_plain({"network": Mixer(act=nn.relu)}, "config")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Path("a"), r"config\.network\.inner\.value, which a run folder does not give back"),
        ({1: 2}, r"config\.network\.inner\.value"),
        (np.zeros(2), r"config\.network\.inner\.value"),
        (float("nan"), r"config\.network\.inner\.value"),
        ({1, 2}, r"got a set in config\.network\.inner\.value"),
        (print, r"got a builtin_function_or_method in config\.network\.inner\.value"),
        ("text", None),
        ((1, (2.5, None)), None),
        ([1, 2], None),
        ({"a": Every(steps=3)}, None),
    ],
)
def test_what_a_run_folder_cannot_give_back_is_refused_by_its_field(value, message):
    config = TrainConfig(name="a", steps=1, network=Mixer(inner=Loose(value)))
    assert own_classes(config) == [Mixer, Loose]
    if message is None:
        check_round_trip(config)
    else:
        with pytest.raises(ValueError, match=message):
            check_round_trip(config)


def test_differences_are_named():
    one = {"a": Every(steps=1), "b": [1, (2, 3)], "c": np.ones(2)}
    other = {"a": Every(steps=2), "b": (1, [2, 4]), "c": np.ones(2)}
    assert different_fields(one, one, "x") == []
    assert different_fields(one, other, "x") == ["x.a.steps", "x.b[1][1]"]


def test_a_part_by_its_place_as_a_person_types_it(tmp_path, package):
    (package / "nets.py").write_text(PACKAGE)
    path = tmp_path / "mine.py"
    path.write_text("class Solver:\n    pass\n")
    assert at_place("strange_parts.nets:Cosine", "solver").__name__ == "Cosine"
    assert at_place(f"{path}:Solver", "solver").__name__ == "Solver"
    for place in ("strange_parts.nets:Nothing", "strange_parts.nothing:A", f"{path}:Nothing"):
        with pytest.raises(ValueError, match=r"got solver .*, which cannot be imported .*to fix"):
            at_place(place, "solver")
