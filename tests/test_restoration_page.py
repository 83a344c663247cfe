"""The examples of docs/restoration.md run, and their samples agree with what was recorded."""

import re
from pathlib import Path

import numpy as np
import pytest

import jaxdiff as jd
from jaxdiff.analytic import Gaussian
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.model import Model

TEXT = (Path(__file__).parents[1] / "docs" / "restoration.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the variance of the noise", "ignore:the samples leave")
def test_the_examples_restore():
    white = Normaliser("linear", (0.0,), (1.0,), (500.0,), (60.0,))
    model = Model(Gaussian(np.zeros((16, 16, 1)), 1.0), jd.UNet(), jd.Cosine(), (16, 16, 1), white, DataInfo())
    rng = np.random.default_rng(0)
    y = rng.normal(size=(8, 8, 1))
    recording = 500 + 60 * 0.2 * rng.normal(size=(32, 32, 1))
    images = rng.normal(size=(2, 16, 16, 1))
    names = {"y": y, "denoise": model.denoise, "model": model, "recording": recording, "images": images}
    for code in re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL):
        exec(compile(code, "restoration", "exec"), names)
    assert names["result"].image.shape == (64, 64, 1)
    out, operator = names["out"], names["operator"]
    assert out.images.shape == (8, 16, 16, 1)
    left = np.stack([np.asarray(operator(image)) - y for image in out.images])
    assert left.std() < 0.35 * y.std()
    assert out.images.std(axis=0).mean() > 0.3
    density = -0.5 * (np.sum(images**2, axis=(1, 2, 3)) + images[0].size * np.log(2 * np.pi))
    np.testing.assert_allclose(names["found"].nats, density, rtol=0.01)
    assert names["noise"].shape == images.shape
