"""Imports go down only, and `import jaxdiff` is light."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jaxdiff"

FLOORS = [
    {
        "durable",
        "lock",
        "numbers",
        "parts",
        "places",
        "plain",
        "programs",
        "references",
        "schema",
        "script",
        "seeds",
        "stopping",
        "terminal",
    },
    {"process"},
    {"network", "nnx", "predictions", "denoiser", "analytic"},
    {"nn"},
    {"physics"},
    {"solvers"},
    {"guidance"},
    {"sampling"},
    {"conformance", "tuning"},
    {"data"},
    {"training"},
    {"metrics"},
    {"model", "shipped"},
    {"bulk"},
    {"tasks"},
    {"interop"},
    {"config"},
    {"commands"},
    {"cli", "public", "__main__"},
]
FLAX = {"nn", "nnx", "training", "model", "interop", "config", "cli", "commands"}
"""Who may know Flax; `denoiser.bind` only calls `network.apply`."""
HEAVY = ["tensorflow", "tensorflow_datasets", "grain", "orbax", "tifffile", "PIL", "matplotlib", "tensorboardX"]

LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def top(path: Path) -> str:
    """Name of the floor that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Absolute names of all modules a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    assert top(path) in LEVEL, f"{top(path)} has no place in FLOORS"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "jaxdiff" and parts[1] != "__version__":
            assert parts[1] in LEVEL, f"{path} imports {name}; name the module in full"
            assert LEVEL[parts[1]] <= LEVEL[top(path)], f"{path} imports {name} from a floor above"
        assert parts[0] != "flax" or top(path) in FLAX, f"{path} imports {name}"


def test_an_upward_import_would_be_found(tmp_path):
    file = tmp_path / "low.py"
    file.write_text("def f():\n    from jaxdiff.sampling import sample\n    import jaxdiff.cli\n")
    assert imported(file) == {"jaxdiff.sampling.sample", "jaxdiff.cli"}
    assert LEVEL["sampling"] > LEVEL["process"]


def test_import_of_the_package_is_light(run_python):
    """Its names bring in JAX and nothing heavier; the package and its commands alone not even that."""
    found = f"print([name for name in {HEAVY} + {{}} if name in sys.modules])"
    code = f"import sys, jaxdiff.cli; {found.format(['jax', 'numpy'])}; jaxdiff.sample; {found.format([])}"
    assert run_python(code, devices=1).split("\n")[:2] == ["[]", "[]"]
