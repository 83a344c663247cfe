"""What is measured of a set of crops, and the table of distances between two sets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.evidence import distances, nuclei
from benchmarks.evidence.crops import Crops
from benchmarks.evidence.neighbours import Neighbours, among
from benchmarks.evidence.nuclei import Nuclei, Segmentation
from jaxdiff.data.normalise import Normaliser


@dataclass(frozen=True)
class Features:
    """A set of N crops, reduced to what the distances need; what repeats with a crop has N rows."""

    groups: np.ndarray  # what the bootstrap draws
    grey: np.ndarray  # (N, V) pixels of each grey level
    levels: np.ndarray  # (V,) the grey levels
    network: np.ndarray  # (V,) the same in network units
    power: np.ndarray  # (N, R)
    nuclei: Nuclei
    nearest: np.ndarray  # (N,) distance to train
    sibling: np.ndarray  # (N,) distance to the other crops of the set

    def rows(self, index: np.ndarray) -> "Features":
        """The set made of crops `index`, which may repeat; repeats are one group and each other's siblings."""
        order = np.argsort(self.nuclei.crop, kind="stable")
        start, end = (np.searchsorted(self.nuclei.crop[order], index, side) for side in ("left", "right"))
        nuclei = np.concatenate([order[a:b] for a, b in zip(start, end)])
        crop = np.repeat(np.arange(len(index)), end - start)
        n = self.nuclei
        _, first, times = np.unique(index, return_inverse=True, return_counts=True)
        return Features(
            groups=index,
            grey=self.grey[index],
            levels=self.levels,
            network=self.network,
            power=self.power[index],
            nuclei=Nuclei(crop, n.area[nuclei], n.solidity[nuclei], n.intensity[nuclei]),
            nearest=self.nearest[index],
            sibling=np.where(times[first] > 1, 0.0, self.sibling[index]),
        )


def features(
    crops: Crops,
    levels: np.ndarray,
    normaliser: Normaliser,
    how: Segmentation,
    train: Neighbours,
    owners: np.ndarray | None = None,
) -> Features:
    """Measure a set. `levels`: every grey level of any set; `owners`: wells of train that do not count as neighbours."""
    z = normaliser.forward(crops.images[..., None])[..., 0]
    place = np.searchsorted(levels, crops.images.reshape(len(z), -1))
    grey = np.bincount((np.arange(len(z))[:, None] * len(levels) + place).ravel(), minlength=len(z) * len(levels))
    return Features(
        groups=crops.groups,
        grey=grey.reshape(len(z), -1).astype(np.float32),
        levels=levels.astype(np.float64),
        network=normaliser.forward(levels[:, None])[:, 0].astype(np.float64),
        power=distances.radial_power(z).astype(np.float64),
        nuclei=nuclei.measure(nuclei.segment(z, how), crops.images),
        nearest=train.nearest(z, owners),
        sibling=among(z),
    )


@dataclass(frozen=True)
class Measure:
    """A distance of a set from the reference, smaller is better: (x, reference, weights of each) -> (B,)."""

    name: str
    unit: str
    distance: Callable[[Features, Features, np.ndarray, np.ndarray], np.ndarray]


def _nucleus(read: Callable[[Nuclei], np.ndarray]):
    def distance(x: Features, y: Features, wx: np.ndarray, wy: np.ndarray) -> np.ndarray:
        return distances.wasserstein1(read(x.nuclei), read(y.nuclei), wx[:, x.nuclei.crop], wy[:, y.nuclei.crop])

    return distance


def counts(x: Features) -> np.ndarray:
    """Nuclei in each crop."""
    return np.bincount(x.nuclei.crop, minlength=len(x.groups)).astype(np.float64)


def _closer(read: Callable[[Features], np.ndarray]):
    """Percentage of crops nearer than the nearest twentieth of the reference; 5 where the two are alike."""

    def distance(x: Features, y: Features, wx: np.ndarray, wy: np.ndarray) -> np.ndarray:
        limit = distances.quantile(read(y), wy, 0.05)
        return 100 * np.sum(wx * (read(x)[None] < limit[:, None]), axis=1) / wx.sum(axis=1)

    return distance


MEASURES = (
    Measure(
        "intensity histogram, W1",
        "grey levels",
        lambda x, y, wx, wy: distances.histogram_w1(wx @ x.grey, wy @ y.grey, x.levels),
    ),
    Measure(
        "intensity histogram after asinh, W1",
        "train std",
        lambda x, y, wx, wy: distances.histogram_w1(wx @ x.grey, wy @ y.grey, x.network),
    ),
    Measure(
        "radial log-spectrum, rms",
        "dB",
        lambda x, y, wx, wy: distances.log_spectrum_rms(
            wx @ x.power / wx.sum(axis=1, keepdims=True), wy @ y.power / wy.sum(axis=1, keepdims=True)
        ),
    ),
    Measure(
        "nuclei per crop, W1",
        "nuclei",
        lambda x, y, wx, wy: distances.wasserstein1(counts(x), counts(y), wx, wy),
    ),
    Measure("area, W1", "pixels", _nucleus(lambda n: n.area)),
    Measure("solidity, W1", "of 1", _nucleus(lambda n: n.solidity)),
    Measure("mean intensity, W1", "grey levels", _nucleus(lambda n: n.intensity)),
    Measure(
        "distance to nearest train crop, W1",
        "train std",
        lambda x, y, wx, wy: distances.wasserstein1(x.nearest, y.nearest, wx, wy),
    ),
    Measure("nearer to train than 95 % of real crops", "%", _closer(lambda x: x.nearest)),
    Measure("nearer to each other than 95 % of real crops", "%", _closer(lambda x: x.sibling)),
)


def compare(x: Features, reference: Features, draws: int, seed: int) -> dict[str, dict[str, float | None]]:
    """Every measure of a set against the reference: value, and the 95 % interval of a bootstrap over both groups.

    The reference's draws depend on the seed alone: they are the same for all sets. None: nothing to compare.
    """
    weights = distances.bootstrap_weights(x.groups, draws, np.random.default_rng([seed, 1]))
    reference_weights = distances.bootstrap_weights(reference.groups, draws, np.random.default_rng([seed, 0]))
    table = {}
    for measure in MEASURES:
        values = measure.distance(x, reference, weights, reference_weights)
        low, high = np.nanpercentile(values[1:], (2.5, 97.5)) if np.isfinite(values[1:]).any() else (np.nan, np.nan)
        row = {"value": values[0], "low": low, "high": high}
        table[measure.name] = {name: float(v) if np.isfinite(v) else None for name, v in row.items()}
    return table


def passed_by(
    table: Mapping[str, Mapping[str, Mapping[str, float | None]]], controls: tuple[str, ...]
) -> dict[str, list[str]]:
    """For each measure the controls that it does not tell from real crops: not above the floor's interval."""
    result = {}
    for measure in MEASURES:
        limit = table["floor"][measure.name]["high"]
        values = {name: table[name][measure.name]["value"] for name in controls}
        result[measure.name] = [n for n, v in values.items() if v is not None and limit is not None and v <= limit]
    return result
