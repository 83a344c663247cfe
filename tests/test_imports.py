"""Imports go down only, without circles, from floor to floor and file to file; files are short; `import jaxdiff` is light."""

import ast
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jaxdiff"

FLOORS = [
    {
        "durable",
        "lock",
        "malformed",
        "numbers",
        "parts",
        "places",
        "plain",
        "programs",
        "references",
        "representation",
        "schema",
        "script",
        "seeds",
        "shipped",
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
    {"loading", "model"},
    {"bulk"},
    {"tasks"},
    {"interop", "chips"},
    {"config"},
    {"commands"},
    {"cli", "public", "__main__"},
]
FLAX = {"nn", "nnx", "training", "model", "interop", "config", "cli", "commands"}
"""Who may know Flax; `denoiser.bind` only calls `network.apply`."""
HEAVY = ["tensorflow", "tensorflow_datasets", "grain", "orbax", "tifffile", "PIL", "matplotlib", "tensorboardX"]
HEAVY += ["scipy.stats"]  # half a second

LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
LONGEST = 300
"""Lines of a file of the package or of the benchmarks."""
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


def module(path: Path, package: Path = PACKAGE) -> str:
    """The dotted name of a file; that of its folder for `__init__`."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph(files: list[Path], package: Path = PACKAGE) -> dict[str, set[str]]:
    """The files that each file imports, inside functions too: of `from a.b import c` that of a.b.c, or else a.b's own."""
    modules = {module(path, package): path for path in files}
    edges: dict[str, set[str]] = {}
    for name, path in modules.items():
        edges[name] = set()
        for target in imported(path):
            while target and target not in modules:
                target = target.rpartition(".")[0]
            edges[name] |= {target} - {name, ""}
    return edges


def contracted(edges: Mapping[str, set[str]], place: Callable[[str], str]) -> dict[str, set[str]]:
    """The graph of places; those called "" are left out."""
    result: dict[str, set[str]] = {}
    for name, targets in edges.items():
        result.setdefault(place(name), set()).update(map(place, targets))
    return {name: targets - {name, ""} for name, targets in result.items() if name}


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """Names that reach each other; none where there is no circle."""
    left = dict(edges)
    while ends := {name for name, targets in left.items() if not targets & left.keys()}:
        left = {name: targets for name, targets in left.items() if name not in ends}
    while left and (starts := left.keys() - set().union(*left.values())):  # they only lead to one
        left = {name: targets for name, targets in left.items() if name not in starts}
    return sorted(left)


def test_no_file_imports_itself_by_way_of_others():
    assert circle(graph(FILES)) == []


def test_between_two_floors_and_between_two_rooms_imports_go_one_way():
    """Rooms are folders of a floor, such as data/files."""
    edges = graph(FILES)
    rooms = {name for path in FILES if len(path.relative_to(PACKAGE).parts) > 2 for name in [module(path.parent)]}
    assert circle(contracted(edges, lambda name: name.split(".")[1])) == []
    inside = {name: next((room for room in rooms if f"{name}.".startswith(f"{room}.")), "") for name in edges}
    assert circle(contracted(edges, inside.__getitem__)) == []


def test_a_circle_would_be_found(tmp_path):
    package = tmp_path / "p"
    package.mkdir()
    texts = {
        "a": "import p.b",
        "b": "def f():\n    from p.c import g",
        "c": "from p import g",
        "d": "from p.a import f",
    }
    texts |= {"__init__": "from p.a import f", "e": "x = 1"}
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text)
    edges = graph(sorted(package.glob("*.py")), package)
    assert circle(edges) == ["p", "p.a", "p.b", "p.c"]
    (package / "c.py").write_text("from p import e")  # a module of the package, not a name of its __init__
    assert circle(graph(sorted(package.glob("*.py")), package)) == []


def test_a_file_reads_in_one_sitting():
    folders = [PACKAGE, PACKAGE.parent / "benchmarks"]
    lines = {path: len(path.read_text().splitlines()) for folder in folders for path in folder.rglob("*.py")}
    assert {str(path): number for path, number in lines.items() if number > LONGEST} == {}


def test_import_of_the_package_is_light(run_python):
    """Its names bring in JAX and nothing heavier; the package and its commands alone not even that."""
    found = f"print([name for name in {HEAVY} + {{}} if name in sys.modules])"
    code = f"import sys, jaxdiff.cli; {found.format(['jax', 'numpy'])}; jaxdiff.sample; {found.format([])}"
    assert run_python(code, devices=1).split("\n")[:2] == ["[]", "[]"]
