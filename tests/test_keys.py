"""Every public function that takes a key says what a key is, before anything else."""

import importlib
import inspect

import jax
import numpy as np
import pytest

import jaxdiff as jd

PACKAGES = (
    "data.sources.synthetic",
    "guidance",
    "metrics",
    "physics",
    "process",
    "sampling",
    "solvers",
    "tasks",
    "tuning",
)
PACKAGES += (
    "training",
    "training.step",
    "conformance",
    "tasks.class_errors",
    "tasks.outliers",
    "interop",
    "nn",
    "bulk",
)
NO_KEYS = {
    "an int": 0,
    "nothing": None,
    "several": jax.random.split(jax.random.key(0), 2),
    "an array": np.zeros(2),
}


def takers() -> dict:
    """Functions and methods that take `key`, by name, of `jd` and of the packages' own lists."""
    parts = {name: getattr(jd, name) for name in dir(jd)}
    for package in PACKAGES:
        module = importlib.import_module(f"jaxdiff.{package}")
        parts |= {f"{package}.{name}": value for name, value in vars(module).items() if not name.startswith("_")}
    functions = {}
    for name, part in parts.items():
        if not getattr(part, "__module__", "").startswith("jaxdiff"):
            continue
        if inspect.isfunction(part):
            functions[name] = part
        elif inspect.isclass(part) and not getattr(part, "_is_protocol", False):
            for method, static in vars(part).items():
                method_of = getattr(static, "__func__", static)
                if inspect.isfunction(method_of) and (method == "__call__" or not method.startswith("_")):
                    functions[f"{name}.{method}"] = method_of
    named = {function: name for name, function in functions.items() if "key" in inspect.signature(function).parameters}
    return {name: function for function, name in named.items()}


TAKERS = takers()


def test_they_are_found():
    for name in (
        "sample",
        "noise",
        "Model.sample",
        "TrainState.create",
        "log_likelihood",
        "training.step.Step.__call__",
    ):
        assert any(name in taker for taker in TAKERS), name
    assert len(TAKERS) > 20


@pytest.mark.parametrize("kind", NO_KEYS)
@pytest.mark.parametrize("name", TAKERS)
def test_what_is_no_key_is_refused_with_the_way_to_make_one(name, kind):
    parameters = inspect.signature(TAKERS[name]).parameters.values()
    needed = {
        p.name: None for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
    with pytest.raises(ValueError, match=r"^got key=.*; expected a key; to fix: jax.random.key\(0\)$"):
        TAKERS[name](**{**needed, "key": NO_KEYS[kind]})


def test_keys_of_the_older_kind_give_what_the_newer_give():
    """`jax.random.PRNGKey`, as much code of others makes them."""
    start = np.ones((2, 3, 1), np.float32)
    how = dict(shape=(3, 1), num=2, grid=[-1.0, 0.0, 1.0])
    runs = [
        lambda key: jd.noise(key, start, lam=0.5),
        lambda key: jd.sample(key, lambda x, lam, cond: x / 2, solver=jd.DDPM(), **how).images,
    ]
    for run in runs:
        np.testing.assert_array_equal(run(jax.random.PRNGKey(3)), run(jax.random.key(3)))
