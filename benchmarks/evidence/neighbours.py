"""The nearest train crop, at any place and in any of the eight orientations: has the generator copied?

Distance: root mean square difference over pixels, in network units. All positions of all fields cannot be tried in
full (2e8 for BBBC039, counting orientations), so the search is coarse to fine:

1. A crop becomes numbers p, the lowest frequencies of its means over 8 x 8 blocks (scaled so that |p|² is their
   energy), and one more, the root r of the energy that is left. The squared distance of crops a, b is at least
   |p(a) − p(b)|² + (r(a) − r(b))². One matrix product a field gives this bound for every train crop whose corner is
   a multiple of half a block.
2. Around the best windows of the `candidates` best pairs of field and orientation every position within a quarter
   block and a pixel is tried in full.

The result is an upper bound of the true distance, in the same way for real and generated crops. How many exact copies
of train crops the search finds is measured by the control that repeats them.
"""

import numpy as np

SIDE = 8  # blocks along a crop
FREQUENCIES = 7  # cosines with k + l below this, of SIDE x SIDE


class Neighbours:
    """Train fields (Y, X) in network units, ready to be searched for crops of size x size; owners are their wells."""

    def __init__(self, fields: list[np.ndarray], owners: list[str], size: int):
        if size % (2 * SIDE):
            raise ValueError(f"got crops of {size}; expected a multiple of {2 * SIDE}; to fix: use 32, 64 or 128")
        self.size, self.block, self.step = size, size // SIDE, size // SIDE // 2
        self.fields, self.owners = fields, np.array(owners)
        self._coarse = [self._features(field[None]) for field in fields]

    def nearest(self, z: np.ndarray, owners: np.ndarray | None = None, candidates: int = 32) -> np.ndarray:
        """Distance (N,) of crops (N, size, size) to the nearest train crop; those of the crop's owner do not count."""
        turned = orientations(z)
        bound, place = self._coarse_search(turned)
        if owners is not None:
            bound[:, owners[:, None] == self.owners[None]] = np.inf
        result = np.empty(len(z))
        for i in range(len(z)):
            flat = bound[:, i].ravel()
            best = np.argpartition(flat, min(candidates, len(flat) - 1))[:candidates]
            pairs = [divmod(int(k), len(self.fields)) for k in best if np.isfinite(flat[k])]
            result[i] = min(self._fine_search(turned[o, i], f, int(place[o, i, f])) for o, f in pairs)
        return result

    def _coarse_search(self, turned: np.ndarray, chunk: int = 32) -> tuple[np.ndarray, np.ndarray]:
        """For each orientation, crop and field: the least bound, and the number of the window that has it.

        In small chunks, whose distances stay in the processor's cache: half the time of large ones.
        """
        queries = self._features(turned.reshape(-1, self.size, self.size))[0]
        bound = np.empty((len(queries), len(self.fields)), np.float32)
        place = np.empty(bound.shape, np.int32)
        squares = (queries**2).sum(axis=1)
        queries = np.concatenate([queries, np.ones((len(queries), 1), np.float32)], axis=1)
        for f, (windows, _) in enumerate(self._coarse):
            factors = np.concatenate([-2 * windows.T, (windows**2).sum(axis=1)[None]])
            for part in (slice(start, start + chunk) for start in range(0, len(queries), chunk)):
                d = queries[part] @ factors
                place[part, f] = which = d.argmin(axis=1)
                bound[part, f] = d[np.arange(len(d)), which] + squares[part]
        shape = (*turned.shape[:2], len(self.fields))
        return bound.reshape(shape), place.reshape(shape)

    def _fine_search(self, query: np.ndarray, f: int, window: int) -> float:
        """The least distance at the positions nearer to a coarse window than to the next one, and a pixel more."""
        field, columns, reach = self.fields[f], self._coarse[f][1], self.step // 2 + 1
        y, x = (n * self.step for n in divmod(window, columns))
        part = field[max(y - reach, 0) : y + reach + self.size, max(x - reach, 0) : x + reach + self.size]
        views = np.lib.stride_tricks.sliding_window_view(part, query.shape)
        product = np.einsum("yxij,ij->yx", views, query)
        distance = _window_sums(part.astype(np.float64) ** 2, self.size) - 2 * product
        best = views[np.unravel_index(distance.argmin(), distance.shape)]
        return float(np.sqrt(np.mean((best.astype(np.float64) - query) ** 2)))

    def _features(self, z: np.ndarray) -> tuple[np.ndarray, int]:
        """(p, r) of all windows of (N, Y, X) on the half-block grid: (N * windows, P + 1), and windows in a row."""
        half = z.astype(np.float64)[:, : z.shape[1] // self.step * self.step, : z.shape[2] // self.step * self.step]
        half = half.reshape(len(z), half.shape[1] // self.step, self.step, half.shape[2] // self.step, self.step)
        sums, squares = half.sum(axis=(2, 4)), (half**2).sum(axis=(2, 4))
        sums = sums[:, :-1] + sums[:, 1:]
        blocks = (sums[:, :, :-1] + sums[:, :, 1:]) / self.block  # block * mean, at every half block
        span = 2 * SIDE - 1
        views = np.lib.stride_tricks.sliding_window_view(blocks, (span, span), axis=(1, 2))[..., ::2, ::2]
        low = views.reshape(-1, SIDE**2) @ _low_cosines()
        energy = np.stack([_window_sums(s, 2 * SIDE) for s in squares]).ravel()
        left = np.sqrt(np.maximum(energy - (low**2).sum(axis=1), 0))
        return np.concatenate([low, left[:, None]], axis=1).astype(np.float32), views.shape[2]


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


def _low_cosines() -> np.ndarray:
    """Orthonormal 2-D cosines of SIDE x SIDE numbers, the lowest ones: (SIDE², P)."""
    n, k = np.arange(SIDE), np.arange(SIDE)
    cosines = np.sqrt(np.where(k == 0, 1, 2) / SIDE) * np.cos(np.pi * (n[:, None] + 0.5) * k / SIDE)
    both = np.einsum("yk,xl->klyx", cosines, cosines)
    return both[np.add.outer(k, k) < FREQUENCIES].reshape(-1, SIDE**2).T


def _window_sums(array: np.ndarray, side: int) -> np.ndarray:
    """Sums over all side x side windows of an array (Y, X)."""
    total = np.pad(np.cumsum(np.cumsum(array, axis=0), axis=1), ((1, 0), (1, 0)))
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
