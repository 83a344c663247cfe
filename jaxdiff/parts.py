"""Classes by their names: what a stored "type" may mean, and which code of a person's own may be imported for it.

A class of this package is stored by its bare name, `Cosine`. A person's own is stored by its place:

    mypackage.nets:Mixer    of a module that can be imported
    mine.py:Mixer           of a config file or a script, by the file's name
    __main__:Mixer          of a notebook

A name in a file chooses among classes that the caller lists, or allows; nothing else is imported.
"""

import contextlib
import dataclasses
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

CONFIG_FILE = "jaxdiff_config_"
"""What the module of an executed .py file is called, followed by the file's stem."""
PACKAGE = __name__.partition(".")[0]


def is_ours(cls: type) -> bool:
    """Whether a class is one of this package, whatever its name."""
    return cls.__module__.partition(".")[0] == PACKAGE


def place_of(cls: type) -> str:
    """The name under which a class is stored: bare for ours, else `module:Class` or `file.py:Class`.

    Raises ValueError for a class inside a function, which no other process can find.
    """
    if is_ours(cls):
        return cls.__name__
    if "<locals>" in cls.__qualname__:
        function = cls.__qualname__.partition(".<locals>")[0]
        raise ValueError(
            f"got the class {cls.__name__} inside the function {function}, where no other process finds it; expected one "
            "at the top of a module or a config file; to fix: move the class there"
        )
    return f"{_module_of(cls)}:{cls.__qualname__}"


def _module_of(cls: type) -> str:
    name = cls.__module__
    if name.startswith(CONFIG_FILE):
        return f"{name.removeprefix(CONFIG_FILE)}.py"
    if name == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None and spec.name != "__main__":  # python -m package.module
            return spec.name
        if file is not None and file.endswith(".py"):
            return Path(file).name
    return name


Names = Iterable[str | os.PathLike[str] | type] | str | os.PathLike[str] | type
"""Packages, .py files and classes, or one of these."""


class Allowed:
    """What a caller lets the names in a file mean, beside the classes of this package.

    allow: packages by name (they and what is below them may be imported), .py files by path (executed as config files are,
    once), classes; one of these or several. Raises ValueError for anything else, and for a file that does not exist.
    """

    def __init__(self, allow: Names = ()):
        several = [allow] if isinstance(allow, str | os.PathLike | type) else list(allow)
        self.classes: list[type] = [one for one in several if isinstance(one, type)]
        self._packages: list[str] = []
        self._files: dict[str, Path] = {}
        self._modules: dict[str, ModuleType] = {}
        for one in several:
            if isinstance(one, type):
                continue
            text = os.fspath(one)
            if text.endswith(".py"):
                self._add_file(Path(text))
            elif re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", text):
                self._packages.append(text)
            else:
                raise ValueError(
                    f"got allow {text!r}; expected the name of a package, the path of a .py file, or a class; to fix: "
                    "mypackage, or configs/mine.py"
                )

    @classmethod
    def with_modules(cls, classes: Iterable[type]) -> "Allowed":
        """Permission for classes that are loaded, the others of their modules, and their packages.

        For a run that goes on: its config's code runs already.
        """
        own = cls(list(classes))
        for one in own.classes:
            own._modules[_module_of(one)] = sys.modules[one.__module__]
            if not one.__module__.startswith((CONFIG_FILE, "__main__")):
                own._packages.append(one.__module__.partition(".")[0])
        return own

    def __bool__(self) -> bool:
        return bool(self.classes or self._packages or self._files)

    def _add_file(self, path: Path) -> None:
        if not path.is_file():
            raise ValueError(
                f"got allow {path}, which does not exist; expected a Python file; to fix: correct the path"
            )
        other = self._files.setdefault(path.name, path)
        if other.resolve() != path.resolve():
            raise ValueError(f"got allow {other} and {path}; expected files of different names; to fix: leave one out")

    def find(self, name: str) -> type | None:
        """The dataclass at a place, its module imported; None where that is not allowed.

        Raises ValueError where there is no such dataclass.
        """
        place, _, path = name.partition(":")
        below = lambda package: place == package or place.startswith(f"{package}.")  # noqa: E731
        if place in self._modules:
            module = self._modules[place]
        elif place in self._files:
            module = self._modules[place] = run_file(self._files[place])
        elif not place.endswith(".py") and any(map(below, self._packages)):
            module = _imported(place, f"the type {name}")
        else:
            return None
        cls = _attribute(module, path)
        if not (isinstance(cls, type) and dataclasses.is_dataclass(cls) and place_of(cls) == name):
            raise ValueError(
                f"got the type {name}, which is no dataclass of that module; expected a dataclass (a Linen or Equinox "
                "module is one); to fix: use the code that the run was trained with"
            )
        return cls


Allow = Allowed | Names
"""What a reader takes as `allow`."""


def allowed(allow: Allow) -> Allowed:
    """The permission as an object, which several readers share, so that a file is executed once."""
    return allow if isinstance(allow, Allowed) else Allowed(allow)


class Parts(Mapping[str, type]):
    """The classes that stored values may name, by these names: those that a reader lists, and what its caller allows.

    A lookup imports what it needs and nothing more. Classes of a person's own among those listed are found by their place.
    """

    def __init__(self, classes: Iterable[type], allow: Allow = ()):
        self._allowed = allowed(allow)
        listed = [*classes, *self._allowed.classes]
        self._known = {place_of(cls): cls for cls in listed}
        for cls in listed:  # as an older jaxdiff stored a person's own; never in the place of one of ours
            self._known.setdefault(cls.__name__, cls)

    def __getitem__(self, name: str) -> type:
        """Raises KeyError for a name that is neither listed nor allowed, ValueError for one that is no part."""
        if name not in self._known:
            cls = self._allowed.find(name)
            if cls is None:
                raise KeyError(name)
            self._known[name] = cls
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _attribute(module: ModuleType, path: str) -> Any:
    value: Any = module
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def run_file(path: Path, what: str = "file") -> ModuleType:
    """The module of a .py file, executed anew. Raises ValueError where it is none or fails; `what` it is, in words."""
    spec = importlib.util.spec_from_file_location(f"{CONFIG_FILE}{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"got the {what} {path}; expected a Python file, name.py; to fix: rename it")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(spec.name)
    sys.modules[spec.name] = module  # dataclasses and tyro look classes of a config file up by their module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        if before is None:
            del sys.modules[spec.name]
        else:
            sys.modules[spec.name] = before
        raise ValueError(
            f"got the {what} {path}, which fails: {type(error).__name__}: {error}; expected one that runs; "
            "to fix: correct it"
        ) from error
    return module


def at_place(place: str, what: str) -> Any:
    """What `package.module:Name` (or `path/file.py:Name`) is, as a person typed it; `what` they call it, in words.

    A module in the folder that they stand in is found first. Raises ValueError where there is none.
    """
    module, _, path = place.partition(":")
    if module.endswith(".py") and Path(module).is_file():
        container = run_file(Path(module))
    else:
        container = _imported(module, f"{what} {place!r}", first=True)
    value = _attribute(container, path)
    if value is None:
        raise ValueError(
            f"got {what} {place!r}, which cannot be imported ({container.__name__} has no {path}); expected "
            "package.module:Class; to fix: name one that is there"
        )
    return value


def _imported(module: str, subject: str, first: bool = False) -> ModuleType:
    """A module that is installed, or lies in this folder, which is looked at last or `first`."""
    with _this_folder(first):
        try:
            return importlib.import_module(module)
        except Exception as error:  # whatever a person's module raises
            raise ValueError(
                f"got {subject}, which cannot be imported ({type(error).__name__}: {error}); expected package.module:Class; "
                "to fix: install the package, or run this where it lies"
            ) from error


@contextlib.contextmanager
def _this_folder(first: bool) -> Iterator[None]:
    if "" in sys.path:  # an interactive session
        yield
        return
    sys.path.insert(0 if first else len(sys.path), "")
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove("")
