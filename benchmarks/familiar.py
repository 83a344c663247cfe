"""`python -m benchmarks.familiar DATA`: which images a model takes for its own kind, by denoising errors and bits per value.

DATA holds bbbc039/ and bccd/. The shipped prior of nuclei; `jd.tasks.Familiar` is fitted on crops of `dev`, and crops of
`val` (one a field) are told from the same crops changed, and from other objects. Bits per value for a few of each. Writes
benchmarks/results/familiar.json.
"""

from pathlib import Path

import jax
import numpy as np
import tyro
from scipy.ndimage import gaussian_filter, zoom
from scipy.stats import rankdata

import jaxdiff as jd
from benchmarks.command import command
from benchmarks.store import Store
from benchmarks.tasks import fields, smears
from jaxdiff.shipped import shipped

LIKELIHOODS = 12
"""Images of each kind whose bits per value are computed."""


def kinds(data: Path, size: int) -> dict[str, np.ndarray]:
    """Images (num, size, size, 1) in grey levels of the nuclei; "dev" and "val" are of the known kind."""
    rng = np.random.default_rng(0)

    def crops(split: str) -> np.ndarray:
        of_split = fields.load(data / "bbbc039", "dev" if split == "dev" else "val", None)
        places = [[int(rng.integers(n - 2 * size)) + size // 2 for n in one.image.shape] for one in of_split]
        return np.stack([f.image[y : y + size, x : x + size] for f, (y, x) in zip(of_split, places)])[..., None]

    val = crops("val")
    dark, bright = np.quantile(val, 0.01), np.quantile(val, 0.998)
    gain = (bright - dark) / 10
    light = np.maximum(val - dark, 0)
    green = [smears.read(file)[..., smears.GREEN] for file in smears.names(data / "bccd", "val")[: len(val)]]
    cells = np.stack([255.0 - fields.middle(image, size) for image in green])[..., None]
    half = val[:, size // 4 : size // 4 + size // 2, size // 4 : size // 4 + size // 2, 0].astype(float)
    return {
        "dev": crops("dev"),
        "val": val,
        "blurred by 2 pixels": np.stack([gaussian_filter(one.astype(float), (2, 2, 0)) for one in val]),
        "10 photons": dark + gain * rng.poisson(light / gain),
        "twice as large": np.stack([zoom(one, 2, order=1) for one in half])[..., None],
        "shuffled pixels": np.stack([rng.permutation(one.reshape(-1)).reshape(one.shape) for one in val]),
        "blood cells": dark + (cells - cells.min()) * (bright - dark) / np.ptp(cells),
        "background alone": dark + rng.normal(0, 5, val.shape),
    }


def auroc(usual: np.ndarray, other: np.ndarray) -> float:
    """Probability that one of `other` scores higher than a known one."""
    ranks = rankdata(np.concatenate([usual, other]))[len(usual) :]
    return float((ranks.sum() - len(other) * (len(other) + 1) / 2) / (len(usual) * len(other)))


def main(data: tyro.conf.Positional[Path]) -> None:
    """All kinds of images.

    Args:
        data: the BBBC039 folder.
    """
    model, key = jd.load(shipped("restoration")), jax.random.key(0)
    images = kinds(data, model.shape[0])
    familiar = jd.tasks.Familiar.fit(key, model, images.pop("dev"))
    scores = {name: familiar.score(key, model, some) for name, some in images.items()}
    bits = {}
    for name, some in images.items():
        # As the camera would have written them: whole grey levels.
        counts = np.clip(np.rint(some[:LIKELIHOODS]), 0, 65535).astype(np.uint16)
        bits[name] = model.bits_per_dim(key, counts)
        print(f"{name:22} score {np.median(scores[name]):8.2f}  bits {bits[name].mean():6.3f}", flush=True)
    rows = {
        name: {
            "images": len(images[name]),
            "score_median": round(float(np.median(score)), 3),
            "score_auroc": round(auroc(scores["val"], score), 4),
            "bits_per_value": round(float(bits[name].mean()), 4),
            "bits_per_value_standard_error": round(float(bits[name].std(ddof=1) / np.sqrt(len(bits[name]))), 4),
            "bits_auroc": round(auroc(bits["val"], bits[name]), 4),
        }
        for name, score in scores.items()
    }
    store = Store("familiar")
    store.write({"machine": store.machine(), "model": "nuclei_prior", "kinds": rows})


if __name__ == "__main__":
    command(main, __doc__)
