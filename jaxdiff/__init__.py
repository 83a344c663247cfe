"""jaxdiff: diffusion models for microscopy images in JAX.

One process on the clock of half log-SNR; schedules, grids, solvers, denoisers and guidance that compose; Flax networks;
sampling as one compiled program. `import jaxdiff as jd` loads neither data nor checkpoint libraries, and JAX only when the
first name is used: a command must be able to end in order while JAX is still being imported.
"""

from importlib import import_module as _import_module

TYPE_CHECKING = False  # the first milliseconds of a command belong to `jaxdiff.stopping`
if TYPE_CHECKING:
    from jaxdiff.public import *  # noqa: F403

__version__ = "0.1.0"


def __getattr__(name: str):
    if not name.startswith("_"):
        from importlib.util import find_spec

        spec = find_spec(f"jaxdiff.{name}")
        if spec is not None and spec.origin is not None:  # not a folder of files, such as models/
            return _import_module(f"jaxdiff.{name}")
        public = _import_module("jaxdiff.public")
        if hasattr(public, name):
            globals()[name] = getattr(public, name)
            return globals()[name]
    raise AttributeError(f"module 'jaxdiff' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*dir(_import_module("jaxdiff.public")), "__version__"])
