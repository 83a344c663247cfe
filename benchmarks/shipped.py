"""`python -m benchmarks.shipped --runs FOLDER`: what float16 storage changes in the shipped models.

Root mean square difference of D between a shipped model and the run it was packed from, in units of the data's standard
deviation, on the package's example image, noised to a few λ.
"""

from pathlib import Path

import jax
import numpy as np

import jaxdiff as jd
from benchmarks.command import command
from benchmarks.store import Store
from jaxdiff.commands.demo import EXAMPLE
from jaxdiff.data.files.read import read_image
from jaxdiff.data.pairs import signed_distance
from jaxdiff.nn import condition
from jaxdiff.shipped import SHIPPED

LAMS = (-4.0, -1.0, 2.0)


def main(runs: Path) -> None:
    """Compare each shipped model with the run of its name.

    Args:
        runs: folder of the runs.
    """
    image, _ = read_image(EXAMPLE)
    result = {}
    for folder in SHIPPED.values():
        small = jd.load(folder)
        trained = jd.load(runs / folder.name, small.step)
        size = small.shape[0]
        crop = image[64 : 64 + size, 64 : 64 + size].astype(np.float32)
        if folder.name == "nuclei_generation":
            crop = signed_distance((crop[..., 0] > 500).astype(np.int32))[..., None]
        cond = None if small.pairing is None else condition(image=small.inputs.forward(crop))
        keys = jax.random.split(jax.random.key(0), len(LAMS))
        differences = []
        for key, lam in zip(keys, LAMS):
            x = jax.random.normal(key, small.shape)
            a, b = (np.asarray(model.denoise(x, np.float32(lam), cond)) for model in (small, trained))
            differences.append(float(np.sqrt(np.mean((a - b) ** 2))))
        parameters = sum(leaf.size for leaf in jax.tree.leaves(small.denoise))
        megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        result[folder.name] = {
            "step": small.step,
            "parameters": int(parameters),
            "megabytes": round(megabytes, 3),
            "rms_difference": dict(zip(map(str, LAMS), differences)),
        }
        print(folder.name, result[folder.name])
    store = Store("shipped")
    store.write({"machine": store.machine(), "models": result})


if __name__ == "__main__":
    command(main, __doc__)
