"""References of what a result was made with: `print(jd.citation(solver, schedule, denoise))`."""

import contextlib
import dataclasses
import functools
import io
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from jaxdiff import __version__

PAPERS: dict[str, tuple[str, ...]] = {
    # solvers
    "DDPM": ("ho2020denoising",),
    "DDIM": ("song2021denoising",),
    "DPMpp": ("lu2022dpmpp", "xue2023sa"),
    "DEIS": ("zhang2023fast",),
    "IPNDM": ("liu2022pseudo", "zhang2023fast"),
    "UniPC": ("zhao2023unipc",),
    "SASolver": ("xue2023sa",),
    "EDMHeun": ("karras2022elucidating",),
    "PredictorCorrector": ("song2021score",),
    "Replaced": ("song2021score", "lugmayr2022repaint"),
    "MeanFlow": ("geng2025mean", "kim2023consistency", "song2023consistency"),
    "Renoised": ("lugmayr2022repaint", "xu2023restart"),
    # schedules and grids
    "LinearBeta": ("song2021score", "ho2020denoising"),
    "Cosine": ("nichol2021improved",),
    "Rectified": ("liu2022flow", "lipman2022flow"),
    "VarianceExploding": ("song2021score",),
    "SubVP": ("song2021score",),
    "Karras": ("karras2022elucidating",),
    "LogNormal": ("karras2022elucidating",),
    "DiscreteBetas": ("ho2020denoising", "lin2023common"),
    "BrownianBridge": ("li2023bbdm",),
    "karras": ("karras2022elucidating",),
    "quadratic": ("song2021denoising",),
    "discrete": ("lin2023common", "song2021denoising"),
    # training
    "Sigmoid": ("kingma2023understanding", "hoogeboom2024simpler"),
    "Uniform": ("ho2020denoising",),
    "MinSNR": ("hang2023efficient",),
    "P2": ("choi2022perception",),
    "EDM": ("karras2022elucidating",),
    "SNRPlusOne": ("salimans2022progressive",),
    "MeanDenoising": ("geng2025mean", "geng2025improved", "lu2024simplifying"),
    "Stratified": ("kingma2021variational",),
    "PowerEMA": ("karras2024analyzing",),
    "AdamW": ("loshchilov2019decoupled",),
    "UNet": (
        "ronneberger2015unet",
        "ho2020denoising",
        "dhariwal2021diffusion",
        "hoogeboom2023simple",
        "hoogeboom2024simpler",
    ),
    "DiT": ("peebles2023scalable", "bao2023all", "su2021roformer", "li2025back"),
    # guidance
    "ClassifierFree": ("ho2022classifier", "kynkaanniemi2024applying", "lin2023common"),
    "classifier_free": ("ho2022classifier", "kynkaanniemi2024applying", "lin2023common"),
    "AdaptiveProjected": ("sadat2024eliminating",),
    "adaptive_projected": ("sadat2024eliminating",),
    "Autoguidance": ("karras2024guiding",),
    "autoguidance": ("karras2024guiding",),
    "Windowed": ("bartal2023multidiffusion", "barbero2023mixture", "pielawski2020introducing"),
    "windowed": ("bartal2023multidiffusion", "barbero2023mixture", "pielawski2020introducing"),
    "Planes": ("lee2023improving",),
    "DDNM": ("wang2023zero",),
    "DiffPIR": ("zhu2023denoising",),
    "DPS": ("chung2023diffusion",),
    "MMPS": ("rozet2024learning",),
    "PiGDM": ("song2023pseudoinverse",),
    # what else is computed
    "log_likelihood": ("chen2018neural", "song2021score"),
    "encode": ("song2021score",),
    "richardson_lucy": ("richardson1972bayesian",),
    "Camera": ("makitalo2013optimal",),
}
"""Keys in references.bib of the papers behind a part of jaxdiff, by the part's name; the first is the main one."""

LIBRARIES = {"jaxdiff", "diffrax", "equinox", "flax", "jax", "lineax", "optax"}

DRIVER = "kidger2021on"
"""Of diffrax, which runs every solver."""


def citation(*parts: Any) -> str:
    """BibTeX of jaxdiff and of the papers behind the parts that a result was made with.

    A part is an object, a class or a function: solver, schedule, weighting, network, guidance, a grid's function
    (`jd.grids.karras`), a whole `Model` or `TrainConfig`. Parts inside a part count too: the solver under `jd.Renoised`, the
    network under a guidance. A solver or step size controller of diffrax brings what `diffrax.citation` says of it. A class
    of your own brings its attribute `reference`, BibTeX as a string, where it has one.

    Args:
        *parts: what the result was made with; none gives jaxdiff's own entry.

    Returns:
        BibTeX entries, each once, in the order of the parts. A part without a paper is named in a comment,
        where it was passed itself or is of your own.

    Raises:
        TypeError: for a part that is a number, a string or None.

    Examples:
        >>> import jaxdiff as jd
        >>> text = jd.citation(jd.DDIM(), jd.Cosine())
        >>> [line for line in text.splitlines() if line.startswith("@")][2:]
        ['@article{song2021denoising,', '@article{nichol2021improved,']
    """
    entries, comments = {"jaxdiff": _own_entry()}, {}
    for part in parts:
        if part is None or isinstance(part, str | bytes | int | float | complex):
            raise TypeError(
                f"got {part!r} as a part; expected a solver, schedule or another object, class or function that a result was "
                "made with; to fix: pass the object itself"
            )
        papers, unknown = {}, []
        for inner in _inside(part, set()):
            papers |= (of_inner := _entries(inner))
            if not of_inner.keys() - {DRIVER} and _is_own(inner):
                unknown.append(inner)
        if not papers.keys() - {DRIVER} and not any(part is u for u in unknown):
            unknown.append(part)
        entries.update({key: text for key, text in papers.items() if key not in entries})
        comments.update(
            {_type(u): f"% {_type(u).__qualname__}: no paper is known of it ({_whose(u)})" for u in unknown}
        )
    return "\n\n".join([*entries.values(), *comments.values()])


def _entries(part: Any) -> dict[str, str]:
    """BibTeX of one part by key, without those of what is inside it."""
    own = _type(part)
    package, papers = own.__module__.split(".")[0], _papers()
    diffrax = sys.modules.get("diffrax")  # loaded by whoever has a solver
    is_solver = diffrax and isinstance(own, type) and issubclass(own, diffrax.AbstractSolver)
    entries = {DRIVER: papers[DRIVER]} if is_solver else {}
    reference = getattr(own, "reference", None)
    if isinstance(reference, str):
        entries |= _split(reference) or {reference: reference.strip()}
    elif package == "jaxdiff":
        entries |= {key: papers[key] for key in PAPERS.get(own.__qualname__, ())}
    elif package == "diffrax" and not isinstance(part, type):
        entries |= _by_diffrax(part)
    return entries


def _by_diffrax(part: Any) -> dict[str, str]:
    import diffrax

    if isinstance(part, diffrax.AbstractSolver):
        role = {"solver": part}
    elif isinstance(part, diffrax.AbstractStepSizeController):
        role = {"stepsize_controller": part}
    else:
        return {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        diffrax.citation(**role)
    return _split(printed.getvalue())


def _inside(part: Any, visited: set[int]) -> Iterator[Any]:
    """The part, then what it is made of, each once."""
    if id(part) in visited:
        return
    visited.add(id(part))
    yield part
    if isinstance(part, functools.partial):
        inner = [part.func, *part.args, *part.keywords.values()]
    elif isinstance(part, Mapping):
        inner = list(part.values())
    elif isinstance(part, tuple | list):
        inner = list(part)
    elif dataclasses.is_dataclass(part) and not isinstance(part, type):
        # A Linen module's parent is what holds it, not a piece of it.
        inner = [getattr(part, field.name, None) for field in dataclasses.fields(part) if field.name != "parent"]
    else:
        inner = []
    for value in inner:
        if dataclasses.is_dataclass(value) or isinstance(value, tuple | list | Mapping | functools.partial):
            yield from _inside(value, visited)


def _type(part: Any) -> Any:
    """The class of an object; a class or function itself."""
    return part if hasattr(part, "__qualname__") else type(part)


def _is_own(part: Any) -> bool:
    """Whether it is a dataclass of the caller's, such as a network of their own in a guidance of ours."""
    return dataclasses.is_dataclass(part) and _type(part).__module__.split(".")[0] not in LIBRARIES


def _whose(part: Any) -> str:
    module = _type(part).__module__
    return (
        f"from {module}; `reference` of a class may hold its BibTeX" if _is_own(part) else f"of {module.split('.')[0]}"
    )


def _own_entry() -> str:
    return (
        "@software{jaxdiff,\n  author = {{The jaxdiff developers}},\n"
        "  title = {jaxdiff: diffusion models for microscopy images in {JAX}},\n"
        f"  version = {{{__version__}}},\n}}"
    )


@functools.cache
def _papers() -> dict[str, str]:
    return _split(files("jaxdiff").joinpath("references.bib").read_text(encoding="utf-8"))


def _split(text: str) -> dict[str, str]:
    """BibTeX entries by key; an entry ends with a closing brace at the start of a line."""
    return {
        match[1]: match[0] for match in re.finditer(r"^@\w+\{([^,\s]+),\n.*?^\s*\}$", text, re.MULTILINE | re.DOTALL)
    }
