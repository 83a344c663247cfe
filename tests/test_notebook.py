"""What a person sees who types a name in a notebook: short, and with the numbers in it."""

import dataclasses
import types

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.guidance import posterior
from jaxdiff.guidance.posterior import Measurement
from jaxdiff.physics.operators import Convolution, Diagonal
from jaxdiff.shipped import FOLDER, LINES, SHIPPED, folder_of
from jaxdiff.solvers import Stepped


def test_dir_lists_what_there_is_and_nothing_private():
    names = dir(jd)
    assert names == sorted(names)
    assert {"sample", "DPMpp", "load", "models", "grids", "tasks", "physics", "TrainConfig", "Model"} <= set(names)
    modules = {name for name in names if isinstance(getattr(jd, name), types.ModuleType)}
    assert modules == {"analytic", "grids", "guidance", "metrics", "physics", "predictions", "tasks"}
    assert [name for name in names if name.startswith("_")] == ["__version__"]
    for name in set(names) - modules - {"__version__"}:
        assert getattr(jd, name).__module__.startswith("jaxdiff"), name
    assert not {"import_module", "TYPE_CHECKING", "Any"} & set(names)
    with pytest.raises(AttributeError, match="no attribute 'import_module'"):
        jd.import_module  # noqa: B018


def identity(x, lam, cond=None):
    return x


Y = np.linspace(-1.0, 2.0, 16).reshape(4, 4, 1)
SHOWN = [
    (jd.DPMpp(order=2), "DPMpp(order=2, eta=0)"),
    (jd.DDIM(eta=0.25), "DDIM(eta=0.25)"),
    (jd.DDPM(), "DDPM()"),
    (jd.PredictorCorrector(), "PredictorCorrector(corrections=1, snr=0.16, eta=1)"),
    (jd.Renoised(jd.DDPM(), 2), "Renoised(solver=DDPM(), repeats=2, jump=1)"),
    (Stepped(diffrax.Euler()), "Stepped(solver=Euler(), eta=0, evaluations=1, sde=False, order=1)"),
    (
        jd.Tuned(np.linspace(-6.0, 3.5, 5), np.ones(5), np.zeros((5, 2))),
        "Tuned(grid=float64[5], -6 to 3.5, state=float64[5], 1 to 1, values=float64[5, 2], 0 to 0)",
    ),
    (jd.Cosine(), "Cosine(s=0.008)"),
    (jd.LinearBeta(), "LinearBeta(beta_min=0.1, beta_max=20.0)"),
    (jd.DiscreteBetas(np.linspace(1e-4, 0.02, 1000)), "DiscreteBetas(betas=float64[1000], 0.0001 to 0.02)"),
    (jd.predictions.kind_of("v"), "V()"),
    (jd.predictions.kind_of("F", 0.5), "F(sigma_data=0.5)"),
    (Diagonal(jnp.asarray([1.0, 2.0])), "Diagonal(weights=[1, 2])"),
    (Diagonal(jnp.ones((2, 1))) @ Diagonal(jnp.ones((2, 1))), "float32[2, 1], 1 to 1"),
    (Convolution(jnp.ones((3, 3)) / 9), "psf=float32[3, 3], 0.1111 to 0.1111"),
    (
        jd.guidance.classifier_free(identity, 2.0),
        "ClassifierFree(denoise=identity, scale=2, null=None, interval=[-inf, inf]",
    ),
    (jd.guidance.autoguidance(identity, identity, 3.0), "scale=3"),
    (jd.analytic.Gaussian(np.zeros((4, 4, 1)), np.ones((4, 4, 1))), "Gaussian("),
    (
        posterior.MMPS(identity, Measurement(Diagonal(jnp.ones((4, 4, 1))), Y, 0.1)),
        "y=float64[4, 4, 1], -1 to 2, noise=0.1",
    ),
]


@pytest.mark.parametrize(("part", "text"), SHOWN, ids=[type(part).__name__ for part, _ in SHOWN])
def test_parts_show_their_numbers_in_a_line(part, text):
    assert text in repr(part)
    assert "\n" not in repr(part)


class Mine(jd.Solver):
    order = 1
    strength: float = 0.5
    many: np.ndarray = dataclasses.field(default_factory=lambda: np.arange(9.0))

    def update(self, denoise, x, at, to, noise, memory):
        return x, memory


def test_a_solver_of_ones_own_is_shown_alike_and_a_trace_does_not_end_it():
    assert repr(Mine()) == "Mine(strength=0.5, many=float64[9], 0 to 8)"
    shown = []
    jax.eval_shape(lambda eta: shown.append(repr(jd.DPMpp(eta=eta))), 0.5)
    assert shown == ["DPMpp(order=2, eta=traced float32[])"]


def test_a_model_and_its_samples_fit_in_ten_lines():
    model = jd.load("nuclei_segmentation")
    text = repr(model)
    assert len(text.splitlines()) <= 10
    assert max(map(len, text.splitlines())) < 160
    for part in (
        "segment",
        "UNet(multipliers=(1, 2), ",
        "parameters",
        "V()",
        "Cosine(s=0.008)",
        "(96, 96, 1) YXC",
        "nuclei_segmentation, step",
    ):
        assert part in text
    number = sum(leaf.size for leaf in jax.tree.leaves(model.denoise.params))
    assert f"{number:,} parameters" in text
    wide = jd.Samples(jnp.zeros((3, 4, 4, 1)), 5, jnp.array([True, False, True]), 5, jnp.zeros((3, 2, 4, 4, 1)))
    assert repr(wide).splitlines() == [
        "Samples",
        "  images: float32[3, 4, 4, 1], 0 to 0",
        "  nfe: 5",
        "  finite: all but 1 of 3, first 1",
        "  trajectory: float32[3, 2, 4, 4, 1], 0 to 0",
    ]


def test_models_are_listed_and_loaded_by_name(tmp_path, monkeypatch):
    listed = jd.models()
    assert set(listed) == {folder.name for folder in SHIPPED.values()} | {"nuclei_segmentation"} == set(LINES)
    assert len(repr(listed).splitlines()) == len(listed)
    for name, line in listed.items():
        model = jd.load(name)
        assert model.run == FOLDER / name
        assert line.startswith("deconvolve" if model.pairing is None else model.pairing.pairs.task)
        assert f"{model.shape[0]}×{model.shape[1]}" in line
        size = sum(leaf.size for leaf in jax.tree.leaves(model.denoise.params))
        assert f"{size / 1e6:.2f} M" in line
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"got nuclei, which is no folder here.*nuclei_segmentation, .*nuclei_prior"
    ):
        jd.load("nuclei")
    (tmp_path / "nuclei_prior").mkdir()  # a path that exists wins
    assert folder_of("nuclei_prior").samefile(tmp_path / "nuclei_prior")
    with pytest.raises(FileNotFoundError, match="holds no run"):
        jd.load("nuclei_prior")
