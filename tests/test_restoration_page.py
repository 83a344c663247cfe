"""The example of docs/restoration.md runs, and its samples agree with what was recorded."""

import re
from pathlib import Path

import numpy as np

from jaxdiff.analytic import Gaussian

TEXT = (Path(__file__).parents[1] / "docs" / "restoration.md").read_text(encoding="utf-8")


def test_the_example_restores():
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    y = np.random.default_rng(0).normal(size=(8, 8, 1))
    names = {"y": y, "denoise": Gaussian(np.zeros((16, 16, 1)), 1.0)}
    exec(compile(code, "restoration", "exec"), names)
    out, operator = names["out"], names["operator"]
    assert out.images.shape == (8, 16, 16, 1)
    left = np.stack([np.asarray(operator(image)) - y for image in out.images])
    assert left.std() < 0.35 * y.std()
    assert out.images.std(axis=0).mean() > 0.3
