"""The nearest train crop, at any place and in any of the eight orientations: has the generator copied?

Distance: root mean square difference over pixels, in network units. All positions of all fields cannot be tried in
full (3e8 for BBBC039), so the search is coarse to fine:

1. Crops are averaged over blocks of size/8 pixels: 8 x 8 numbers, and one more, the root r of the energy that
   averaging removes. Of two crops a, b the squared distance is at least
   block² |mean(a) − mean(b)|² + (r(a) − r(b))²: this bound is evaluated by one matrix product a field for every train
   crop whose corner is a multiple of the block size.
2. Around the `candidates` best fields and orientations every position within block/2 + 1 pixels is tried in full.

A copy of a train crop, wherever it lies and however it is turned, is found; for other crops the result is an upper
bound of the true distance, in the same way for real and generated ones.
"""

import numpy as np

SIDE = 8  # blocks along a crop


class Neighbours:
    """Train fields (Y, X) in network units, ready to be searched for crops of size x size; owners are their wells."""

    def __init__(self, fields: list[np.ndarray], owners: list[str], size: int):
        if size % SIDE:
            raise ValueError(f"got crops of {size}; expected a multiple of {SIDE}; to fix: use 32, 64 or 128")
        self.size, self.block = size, size // SIDE
        self.fields, self.owners = fields, np.array(owners)
        self._coarse = [_field_features(field, self.block) for field in fields]

    def nearest(self, z: np.ndarray, owners: np.ndarray | None = None, candidates: int = 8) -> np.ndarray:
        """Distance (N,) of crops (N, size, size) to the nearest train crop; those of the crop's owner do not count."""
        turned = orientations(z)
        bound, place = self._coarse_search(turned)
        if owners is not None:
            bound[:, owners[:, None] == self.owners[None]] = np.inf
        result = np.empty(len(z))
        for i in range(len(z)):
            best = np.argsort(bound[:, i], axis=None)[:candidates]
            pairs = [np.unravel_index(k, bound[:, i].shape) for k in best if np.isfinite(bound[:, i].flat[k])]
            result[i] = min(self._fine_search(turned[o, i], int(f), int(place[o, i, f])) for o, f in pairs)
        return result

    def _coarse_search(self, turned: np.ndarray, chunk: int = 512) -> tuple[np.ndarray, np.ndarray]:
        """For each orientation, crop and field: the least bound, and the number of the window that has it."""
        queries = _crop_features(turned.reshape(-1, self.size, self.size), self.block)
        bound = np.empty((len(queries), len(self.fields)), np.float32)
        place = np.empty(bound.shape, np.int32)
        for f, (windows, squares, _) in enumerate(self._coarse):
            for start in range(0, len(queries), chunk):
                some = queries[start : start + chunk]
                d = some @ windows
                d *= -2
                d += squares
                which = d.argmin(axis=1)
                place[start : start + chunk, f] = which
                bound[start : start + chunk, f] = d[np.arange(len(some)), which] + (some**2).sum(axis=1)
        shape = (*turned.shape[:2], len(self.fields))
        return bound.reshape(shape), place.reshape(shape)

    def _fine_search(self, query: np.ndarray, f: int, window: int) -> float:
        """The least distance at positions within block/2 + 1 pixels of a coarse window."""
        field, columns, reach = self.fields[f], self._coarse[f][2], self.block // 2 + 1
        y, x = window // columns * self.block, window % columns * self.block
        top, left = max(y - reach, 0), max(x - reach, 0)
        part = field[top : y + reach + self.size, left : x + reach + self.size]
        views = np.lib.stride_tricks.sliding_window_view(part, query.shape)
        product = np.einsum("yxij,ij->yx", views, query)
        distance = _window_sums(part.astype(np.float64) ** 2, self.size) - 2 * product
        best = views[np.unravel_index(distance.argmin(), distance.shape)]
        return float(np.sqrt(np.mean((best.astype(np.float64) - query) ** 2)))


def orientations(z: np.ndarray) -> np.ndarray:
    """The eight flips and quarter turns of crops (N, Y, Y): (8, N, Y, Y)."""
    turns = [np.rot90(z, k, axes=(1, 2)) for k in range(4)]
    return np.stack([*turns, *(turn[:, ::-1] for turn in turns)])


def among(z: np.ndarray, chunk: int = 256) -> np.ndarray:
    """Distance (N,) of each crop to the nearest of the others, in any orientation, without shifts."""
    flat = z.reshape(len(z), -1)
    squares = (flat**2).sum(axis=1)
    best = np.full(len(z), np.inf)
    for turned in orientations(z).reshape(8, *flat.shape):
        for start in range(0, len(z), chunk):
            part = slice(start, start + chunk)
            d = squares[part, None] - 2 * turned[part] @ flat.T + squares
            d[np.arange(len(d)), start + np.arange(len(d))] = np.inf
            best[part] = np.minimum(best[part], d.min(axis=1))
    return np.sqrt(np.maximum(best, 0) / flat.shape[1])


def _crop_features(z: np.ndarray, block: int) -> np.ndarray:
    """(N, Y, Y) -> (N, SIDE² + 1): block * means, and the root of the energy within blocks."""
    means, energy = _blocks(z, block)
    means = means.reshape(len(z), -1) * block
    within = energy.reshape(len(z), -1).sum(axis=1) - (means**2).sum(axis=1)
    return np.concatenate([means, np.sqrt(np.maximum(within, 0))[:, None]], axis=1).astype(np.float32)


def _field_features(field: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The same of all windows of SIDE x SIDE blocks, (SIDE² + 1, W); their squared norms (W,); windows in a row."""
    means, energy = _blocks(field[None], block)
    views = np.lib.stride_tricks.sliding_window_view(means[0] * block, (SIDE, SIDE))
    windows = views.reshape(-1, SIDE**2)
    within = _window_sums(energy[0], SIDE).ravel() - (windows**2).sum(axis=1)
    features = np.concatenate([windows.T, np.sqrt(np.maximum(within, 0))[None]]).astype(np.float32)
    return features, (features**2).sum(axis=0), views.shape[1]


def _blocks(z: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sum of squares over blocks of (N, Y, X), float64; rows that do not fill a block are left out."""
    number, height, width = z.shape
    height, width = height // block, width // block
    parts = z[:, : height * block, : width * block].astype(np.float64).reshape(number, height, block, width, block)
    return parts.mean(axis=(2, 4)), (parts**2).sum(axis=(2, 4))


def _window_sums(array: np.ndarray, side: int) -> np.ndarray:
    """Sums over all side x side windows of an array (Y, X)."""
    total = np.pad(np.cumsum(np.cumsum(array, axis=0), axis=1), ((1, 0), (1, 0)))
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
