"""Public functions of more than three parameters say what each is, and what comes back, so that the pages render them."""

import importlib
import inspect
import re

import pytest

import jaxdiff as jd

PACKAGES = [
    *(
        "analytic",
        "bulk",
        "conformance",
        "data",
        "guidance",
        "guidance.posterior",
        "interop",
        "metrics",
        "nn",
        "physics",
    ),
    *(
        "physics.operators",
        "predictions",
        "process",
        "process.grids",
        "process.schedules",
        "sampling",
        "solvers",
        "tasks",
    ),
    *("training", "tuning"),
]


def public() -> dict:
    """Name -> function or method, for what `jd.*` and the packages' own lists name."""
    functions = {}

    def add(name, value):
        if not getattr(value, "__module__", "").startswith("jaxdiff"):
            return
        if inspect.isfunction(value):
            functions.setdefault(value, name)
        elif inspect.isclass(value):
            for attribute in vars(value):
                method = inspect.getattr_static(value, attribute)
                method = getattr(method, "__func__", method)
                inherits = any(hasattr(base, attribute) for base in value.__bases__)
                if (
                    not attribute.startswith("_")
                    and inspect.isfunction(method)
                    and not (inherits and not method.__doc__)
                ):
                    functions.setdefault(method, f"{name}.{attribute}")

    for name in dir(importlib.import_module("jaxdiff.public")):
        if not name.startswith("_"):
            add(f"jd.{name}", getattr(jd, name))
    for package in PACKAGES:
        module = importlib.import_module(f"jaxdiff.{package}")
        for name in dir(module):
            if not name.startswith("_"):
                add(f"{package}.{name}", getattr(module, name))
    return {name: function for function, name in functions.items()}


def parameters(function) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


MANY = {name: function for name, function in public().items() if len(parameters(function)) > 3}


def missing(function) -> list[str]:
    """What a docstring leaves out of its signature."""
    text = inspect.getdoc(function) or ""
    block = re.search(r"^Args:\n((?:(?: .*)?\n?)*)", text, re.MULTILINE)
    told = set(re.findall(r"^ {4}\*{0,2}(\w+): \S", block[1], re.MULTILINE)) if block else set()
    absent = [name for name in parameters(function) if name not in told]
    unknown = [f"{name} is no parameter" for name in told - set(parameters(function))]
    returns = [] if re.search(r"^Returns:\n {4}\S", text, re.MULTILINE) else ["Returns:"]
    return absent + unknown + returns


@pytest.mark.parametrize("name", MANY)
def test_docstring_tells_each_parameter(name):
    assert not missing(MANY[name]), inspect.getsourcefile(MANY[name])


def test_what_is_left_out_is_seen():
    def short(a, b, c, d):
        """One line.

        Args:
            a: first.
            b: second,
                in two lines: with a colon.
            e: of nothing.
        """

    assert missing(short) == ["c", "d", "e is no parameter", "Returns:"]
    assert len(MANY) > 40
