"""Choose the segmentation on dev, against its masks: `python -m benchmarks.evidence.choose --data PATH --size 64`.

First smoothing and threshold, by the Dice coefficient of the foreground; then the seeds of the watershed, by average
precision TP / (TP + FP + FN), mean over intersection-over-union 0.5, 0.55, ..., 0.9 (Caicedo et al., Nature Methods
2019, doi:10.1038/s41592-019-0612-7). Candidate thresholds are fractions of the way from the background of train (the
median of what lies below its Otsu threshold) to its Otsu threshold. Everything is judged on crops, as it is used.
"""

import dataclasses
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from benchmarks.command import command
from benchmarks.evidence import crops, nuclei, results
from benchmarks.evidence.nuclei import Segmentation
from jaxdiff.data.normalise import Normaliser

FRACTIONS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
SMOOTH = (0.0, 1 / 256, 1 / 128, 1 / 64, 1 / 32)  # of the size of a crop, as all that follow
SEED_SMOOTH = (1 / 64, 1 / 32, 3 / 64)
SEED_RADIUS = (4 / 64, 6 / 64, 8 / 64, 10 / 64, 12 / 64, 16 / 64)
OVERLAPS = np.arange(0.5, 0.91, 0.05)


@dataclass(frozen=True)
class Choose:
    """Choose the segmentation of nuclei on dev."""

    data: Path
    """The BBBC039 folder, with {train,dev}/{images,masks}."""
    size: int = 64
    """Crop size in pixels, after binning."""
    binning: int = 1
    """Mean over that many pixels in y and in x."""
    num: int = 1000
    """Crops of dev it is judged on."""
    seed: int = 0
    """Seed of their places."""
    out: Path = Path("benchmarks/results")
    """Folder of the result, segmentation_SIZE.json."""


def choose(config: Choose) -> dict[str, object]:
    """The best segmentation, its scores on dev, and the scores of all that were tried."""
    train = crops.load_fields(config.data, "train", config.binning)
    dev = crops.load_fields(config.data, "dev", config.binning, masks=True)
    normaliser = Normaliser.fit([image[..., None] for image in train.images])
    chosen_crops, masks = crops.draw(dev, config.num, config.size, np.random.default_rng(config.seed))
    assert masks is not None
    z = normaliser.forward(chosen_crops.images[..., None])[..., 0]
    min_area = config.size**2 // 200
    truth = nuclei.without_small(unique_labels(masks), min_area)

    dice = []
    for share in SMOOTH:
        smooth = share * config.size
        pixels = [ndimage.gaussian_filter(normaliser.forward(f[..., None])[..., 0], smooth) for f in train.images]
        background, otsu = background_and_otsu(np.concatenate([p.ravel()[::7] for p in pixels]))
        for fraction in FRACTIONS:
            level = background + fraction * (otsu - background)
            foreground = nuclei.foreground(z, smooth, level)
            score = 2 * np.sum(foreground & (masks > 0)) / (foreground.sum() + np.sum(masks > 0))
            dice.append({"smooth": smooth, "fraction": fraction, "level": float(level), "dice": float(score)})
    best = max(dice, key=lambda row: row["dice"])
    foreground = nuclei.foreground(z, best["smooth"], best["level"])

    precision = []
    for seed_smooth, radius in tqdm(list(itertools.product(SEED_SMOOTH, SEED_RADIUS)), desc="seeds", leave=False):
        how = Segmentation(
            smooth=best["smooth"],
            level=best["level"],
            seed_smooth=seed_smooth * config.size,
            seed_radius=max(1, round(radius * config.size)),
            min_area=min_area,
        )
        scores = average_precision(truth, nuclei.split(foreground, how))
        precision.append({**dataclasses.asdict(how), "ap": float(scores.mean()), "ap50": float(scores[0])})
    top = max(precision, key=lambda row: row["ap"])
    names = [field.name for field in dataclasses.fields(Segmentation)]
    return {
        "size": config.size,
        "binning": config.binning,
        "crops": config.num,
        "seed": config.seed,
        "segmentation": {name: top[name] for name in names},
        "dev": {"dice": best["dice"], "ap": top["ap"], "ap50": top["ap50"]},
        "tried": {"foreground": dice, "seeds": precision},
    }


def background_and_otsu(values: np.ndarray, bins: int = 512) -> tuple[float, float]:
    """Otsu's threshold (IEEE Trans. SMC 1979) of pixel values, and the median of those below it."""
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    low, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (sums[-1] * low / total - sums) ** 2 / (low * (total - low))
    threshold = float(edges[1 + int(np.nanargmax(between[:-1]))])
    return float(np.median(values[values < threshold])), threshold


def unique_labels(masks: np.ndarray) -> np.ndarray:
    """Masks (N, Y, X) numbered field by field -> labels 1..K, none in two crops."""
    crop = np.arange(len(masks))[:, None, None] * (int(masks.max()) + 1)
    _, labels = np.unique(np.where(masks > 0, crop + masks, 0), return_inverse=True)
    labels = labels.reshape(masks.shape)
    return labels if (masks == 0).any() else labels + 1


def average_precision(truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """TP / (TP + FP + FN) at each of OVERLAPS, for labels 1..K and 1..L of one stack of crops."""
    pairs, shared = np.unique(truth.ravel() * (labels.max() + 1) + labels.ravel(), return_counts=True)
    t, f = np.divmod(pairs, labels.max() + 1)
    t_area, f_area = np.bincount(truth.ravel()), np.bincount(labels.ravel())
    both = (t > 0) & (f > 0)
    overlap = shared[both] / (t_area[t[both]] + f_area[f[both]] - shared[both])
    hits = np.array([(overlap > level).sum() for level in OVERLAPS])  # above 0.5 a match is unique
    return hits / (len(t_area) + len(f_area) - 2 - hits)


def main(config: Choose) -> None:
    """Stores the choice."""
    result = choose(config)
    print(json.dumps({name: result[name] for name in ("segmentation", "dev")}, indent=1))
    results(f"segmentation_{config.size}", config.out).write(result)


if __name__ == "__main__":
    command(main, __doc__)
