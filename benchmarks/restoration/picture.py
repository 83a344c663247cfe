"""docs/images/restoration.png: one field of dev, blurred and recorded with few photons, restored."""

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from benchmarks.restoration import store
from benchmarks.restoration.baselines import METHODS
from benchmarks.restoration.problems import blur, problem
from jaxdiff.data.shown.picture import GAP, GAP_GREY, write_png
from jaxdiff.loading import load
from jaxdiff.tasks import restore

PHOTONS = (30, 300)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Draw recording, Richardson-Lucy with total variation, mean, one sample, standard deviation, truth."""

    data: Path
    """The BBBC039 folder."""
    run: Path
    """Run folder of the prior."""
    field: int = 1
    """Of dev."""
    out: Path = Path("docs/images/restoration.png")


def draw(options: Picture) -> None:
    """Writes the picture: a row for each number of photons."""
    nuclei, model = problem("nuclei", options.data, "dev", 4), load(options.run)
    truth, rows = nuclei.truths[options.field], []
    for photons in PHOTONS:
        chosen = store.get(["chosen", "nuclei", "photons", str(photons)], "choose first")
        recording, camera = nuclei.recording(truth, photons), nuclei.camera(photons)
        setting = tuple(chosen["richardson_lucy_tv"]["chosen"]["setting"])
        classical = METHODS["richardson_lucy_tv"](recording, camera, blur(1.0), setting)
        restored = restore(jax.random.key(0), model, recording, blur(1.0), camera, 8)
        parts = [recording, classical, restored.image, restored.samples[0], None, truth.image[..., None]]
        low, high = np.percentile(truth.image, (0.5, 99.9))
        spread = restored.std[..., 0] / max(float(np.percentile(restored.std, 99.9)), 1e-9)
        shown = [spread if p is None else (p[..., 0] - low) / (high - low) for p in parts]
        gap = np.full((shown[0].shape[0], GAP), GAP_GREY / 255)
        cells = [cell for one in shown for cell in (np.clip(one, 0, 1), gap)][:-1]
        rows += [np.concatenate(cells, axis=1), np.full((GAP, sum(c.shape[1] for c in cells)), GAP_GREY / 255)]
    sheet = np.round(255 * np.concatenate(rows[:-1], axis=0)).astype(np.uint8)
    print(write_png(options.out, np.repeat(sheet[..., None], 3, axis=-1)))
