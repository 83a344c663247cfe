"""`jd.citation`: what docstrings name and what the table says are the same papers; the version is in one place."""

import doctest
import importlib
import inspect
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import diffrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import jaxdiff as jd
from jaxdiff import guidance, references, training
from jaxdiff.guidance import posterior
from jaxdiff.process import schedules
from jaxdiff.training import weighting
from jaxdiff.training.mean_denoising import MeanDenoising
from jaxdiff.training.optimizer import AdamW

ROOT = Path(__file__).parents[1]
IDENTIFIER = re.compile(r"\b(\d{4}\.\d{4,5})\b|doi[:\s]\s*(10\.\d{4,}/[^\s,;)]+)|openreview (\w+)")


def public(module, base=object):
    """The classes that a package names and that are written in it."""
    classes = [value for _, value in inspect.getmembers(module, inspect.isclass)]
    return [c for c in classes if c.__module__.startswith(module.__name__) and issubclass(c, base)]


PARTS = [
    *public(importlib.import_module("jaxdiff.solvers"), jd.Solver),
    *public(schedules, jd.Schedule),
    *public(weighting),
    *public(guidance),
    *(getattr(posterior, name) for name in ("DDNM", "DPS", "DiffPIR", "MMPS", "PiGDM")),
    *(jd.DiT, jd.UNet, AdamW, MeanDenoising, training.PowerEMA, training.Stratified),
    *(jd.guidance.classifier_free, jd.guidance.adaptive_projected, jd.guidance.autoguidance, jd.guidance.windowed),
    *(jd.grids.karras, jd.grids.quadratic, jd.grids.discrete, jd.log_likelihood, jd.encode),
]


def identifiers(text: str) -> set[str]:
    return {next(filter(None, match)).rstrip(".") for match in IDENTIFIER.findall(text or "")}


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{([^,]+),", text, re.MULTILINE)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_papers_are_those_of_the_docstring(part):
    own = identifiers(part.__doc__) if "__doc__" in vars(part) or inspect.isfunction(part) else set()
    told = own | identifiers(inspect.getdoc(inspect.getmodule(part)))
    entries = references._entries(part)
    cited = set().union(
        *(
            identifiers(e.replace("eprint = {", "").replace("doi = {", "doi:").replace("}", " "))
            for e in entries.values()
        )
    ) - {"2202.02435"}
    if "openreview.net" in "".join(entries.values()):
        cited |= {"9_gsMA8MRKQ"}
    assert own <= cited, "a docstring's paper is missing in references.py"
    assert cited <= told or part.__name__ in {"AdaptiveProjected", "ClassifierFree", "Autoguidance", "Windowed"}, (
        "not in the docstring"
    )
    if not cited:
        assert "no paper is known of it" in jd.citation(part)


def test_every_name_of_the_table_is_a_part_and_every_entry_is_used():
    names = {part.__name__ for part in PARTS} | {"richardson_lucy", "Camera"}
    assert set(references.PAPERS) <= names
    used = {key for papers in references.PAPERS.values() for key in papers} | {references.DRIVER}
    assert used == set(references._papers())
    for key, entry in references._papers().items():
        assert re.search(r"author = \{.+\}", entry), key
        assert re.search(r"title = \{.+\}", entry), key
        assert re.search(r"year = \{\d{4}\}", entry), key
        assert entry.count("{") == entry.count("}"), key


def test_parts_inside_parts_count_and_each_paper_comes_once():
    def denoise(x, lam, cond):
        return 0.5 * x

    guided = jd.guidance.autoguidance(jd.guidance.classifier_free(denoise, 2.0), denoise)
    text = jd.citation(jd.Renoised(jd.DDIM()), guided, jd.DDIM(), training.Stratified(jd.Cosine()))
    assert keys(text)[:2] == ["jaxdiff", "kidger2021on"]
    assert len(keys(text)) == len(set(keys(text)))
    assert set(keys(text)) >= {
        "lugmayr2022repaint",
        "song2021denoising",
        "karras2024guiding",
        "ho2022classifier",
        "kingma2021variational",
        "nichol2021improved",
    }
    assert "no paper" not in text
    network = jd.UNet(width=16, multipliers=(1,), attention=(False,))
    assert "ronneberger2015unet" in keys(jd.citation(jd.bind(network, {}, predicts="v")))


def test_parts_of_diffrax_and_of_a_stranger():
    controller = diffrax.PIDController(rtol=1e-3, atol=1e-3, pcoeff=0.3)
    text = jd.citation(diffrax.Tsit5(), controller)
    assert {"tsitouras2011runge", "soderlind2002automatic"} <= set(keys(text))
    assert keys(text).count("kidger2021on") == 1

    class Halfway(jd.Solver):
        order = 1
        reference = "@article{me2026,\n  title = {Halfway},\n}"

        def update(self, denoise, x, at, to, noise, memory):
            return x, memory

    class Mixer(nn.Module):
        size: int = 3

        def __call__(self, x, lam, cond=None):
            return x

    assert keys(jd.citation(Halfway())) == ["jaxdiff", "kidger2021on", "me2026"]
    text = jd.citation(jd.guidance.classifier_free(jd.bind(Mixer(), {}, predicts="v"), 2.0))
    assert "Mixer: no paper is known of it" in text
    assert jd.citation(jd.Tuned).endswith("% Tuned: no paper is known of it (of jaxdiff)")
    for part in (3, None, "DDIM"):
        with pytest.raises(TypeError, match=r"got .* as a part; expected a solver"):
            jd.citation(part)
    assert jd.citation(jnp.zeros(3), jax.nn.silu)  # no part of ours, and no error


def test_example_of_the_docstring():
    assert doctest.testmod(references).failed == 0


def test_version_is_in_one_place_and_the_package_says_that_it_is_typed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "jaxdiff.__version__"
    assert re.search(r'^__version__ = "\d+\.\d+\.\d+"$', (ROOT / "jaxdiff" / "__init__.py").read_text(), re.MULTILINE)
    assert f"version = {{{jd.__version__}}}" in jd.citation()
    assert "version:" not in (ROOT / "CITATION.cff").read_text().replace("cff-version:", "")
    for name in ("py.typed", "references.bib"):
        assert files("jaxdiff").joinpath(name).is_file()
        assert name in project["tool"]["setuptools"]["package-data"]["jaxdiff"]
