"""Exact problems that samplers are scored on: a denoiser in closed form, start noise, and where the exact ODE takes it.

All under the 1000 linear betas of DDPM, 1e-4 to 0.02 (the default of `diffusers`), in float64: start JAX with
`JAX_ENABLE_X64=1` or inside `jax.enable_x64(True)`. The start is N(0, I) at the schedule's noise end, λ = −5.06; a grid that
starts later takes the same noise for its own start, and that is part of its error.

mixture: three Gaussians of std 0.2 in 16-D, means 0.75 · N(0, 1) from NumPy's seed 39. The seed, the width and the scale
were searched (2-20 components, stds 0.1-0.4, scales 0.3-1.25) for the simplest recipe that has the four known errors of
DPM-Solver++(2M) on "an exact 16-D mixture": on this start noise (4096, seed 0), rms against the exact solution,

    grid                                  known     here
    diffusers' trailing, 8 calls          0.109     0.117
    diffusers' trailing, 20 calls         0.048     0.051
    uniform in λ to 2.5, 8 calls          0.046     0.047
    uniform in λ to 3.5, 20 calls         0.0053    0.0055

The first two are end-point errors of std 0.2 whatever the means. 0 to 0.3 % of the start noises flip to another mode.

mixture_hard: eight Gaussians of std 0.25, means N(0, 1) from seed 0: data of std 0.93. Here 3 % of the start noises end
in another mode after 8 calls on the λ-uniform grid, and these make most of the rms.

gaussian: 16-D, standard deviations geometric from 2 to 0.02 in a random basis; the flow in closed form.

images: 64 synthetic fields of nuclei, 16×16, standardised, each blurred by a Gaussian of std 0.05 in grey level: what a
network that memorises its training set becomes.
"""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import jaxdiff as jd

SCHEDULE = jd.DiscreteBetas(np.linspace(1e-4, 0.02, 1000))
LAM_EXACT = 12.0  # D differs from the exact solution by e^(−24)/2σ² of the width σ there: 8e-9 for the smallest, 0.05
CHUNK = 512  # start noises solved side by side


@dataclass(frozen=True)
class Problem:
    """A denoiser, start states and the exact solution of the probability-flow ODE from each at λ = ∞."""

    name: str
    denoise: jd.Denoiser
    start: Float[np.ndarray, "num *shape"]
    """States at `schedule.lam_min`."""
    exact: Float[np.ndarray, "num *shape"]
    """What a sampler without error returns for each start."""
    schedule: jd.Schedule
    covariance: Float[np.ndarray, "d d"] | None = None
    """Of the data, its values in one row; None where it is not known."""
    batch: int = CHUNK
    """Start noises sampled side by side."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(*shape) of one image."""
        return self.start.shape[1:]

    @property
    def std(self) -> float:
        """Standard deviation of the data, over all values."""
        assert self.covariance is not None
        return float(np.sqrt(np.mean(np.diag(self.covariance))))

    @property
    def num(self) -> int:
        """Start noises."""
        return len(self.start)


class Mixture(eqx.Module):
    """`jd.analytic.GaussianMixture` of one std, with |x − α m|² as products: one matrix product for a batch of images.

    In float64 only: the products cancel seven digits near the clean end.
    """

    means: Float[Array, "K *shape"]
    std: Float[Array, ""]

    def __call__(self, x, lam, cond=None):
        lam = jnp.asarray(lam, x.dtype)
        a, s = jd.alpha(lam), jd.sigma(lam)
        means = self.means.reshape(len(self.means), -1)
        flat = x.reshape(-1)
        variance = (a * self.std) ** 2 + s**2
        share = jax.nn.softmax((a * means @ flat - 0.5 * a**2 * jnp.sum(means**2, 1)) / variance)
        gain = a * self.std**2 / variance
        return ((1 - gain * a) * share @ means + gain * flat).reshape(x.shape)


def rms(images: np.ndarray, exact: np.ndarray) -> float:
    """Root mean square over all start noises and values, float64."""
    return float(np.sqrt(np.mean((np.asarray(images, np.float64) - exact) ** 2)))


def flipped(images: np.ndarray, problem: Problem) -> float:
    """Share of the start noises that ended nearer to another mode of a mixture than the exact solution; 0 for `gaussian`."""
    if not isinstance(problem.denoise, Mixture):
        return 0.0
    means = np.asarray(problem.denoise.means).reshape(len(problem.denoise.means), -1)

    def nearest(x):
        x = np.reshape(x, (len(x), -1))
        return np.argmin(np.sum(means**2, 1) - 2 * x @ means.T, axis=1)

    return float(np.mean(nearest(images) != nearest(problem.exact)))


def mixture(num: int = 4096, seed: int = 0) -> Problem:
    """The mixture of the known errors."""
    means = 0.75 * np.random.default_rng(39).normal(size=(3, 16))
    return _mixture("mixture", means, 0.2, num, seed)


def mixture_hard(num: int = 4096, seed: int = 0) -> Problem:
    """More modes, further apart."""
    means = np.random.default_rng(0).normal(size=(8, 16))
    return _mixture("mixture_hard", means, 0.25, num, seed)


def images(num: int = 256, seed: int = 0) -> Problem:
    """A memorised set of synthetic microscope images."""
    return replace(_mixture("images", nuclei(64, 16), 0.05, num, seed), batch=128)


def gaussian(num: int = 4096, seed: int = 0) -> Problem:
    """A Gaussian with a spread spectrum."""
    _check_float64()
    stds = np.geomspace(2.0, 0.02, 16)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]
    covariance = (basis * stds**2) @ basis.T
    denoise = jd.analytic.Gaussian(np.zeros(16), covariance)
    start = np.random.default_rng(seed).normal(size=(num, 16))
    lam = SCHEDULE.lam_min
    gain = stds / np.sqrt(jd.alpha(lam) ** 2 * stds**2 + jd.sigma(lam) ** 2)
    exact = start @ (basis * gain) @ basis.T
    return Problem("gaussian", denoise, start=start, exact=exact, schedule=SCHEDULE, covariance=covariance)


PROBLEMS: dict[str, Callable[..., Problem]] = {
    "gaussian": gaussian,
    "mixture": mixture,
    "mixture_hard": mixture_hard,
    "images": images,
}


def nuclei(num: int, size: int) -> np.ndarray:
    """`num` fields (num, size, size, 1) of one to three bright ellipses on a dim, uneven ground, mean 0 and std 1."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    fields = np.empty((num, size, size))
    for field in fields:
        field[:] = 0.1 + 0.05 * (rng.normal() * x + rng.normal() * y)
        for _ in range(rng.integers(1, 4)):
            (cy, cx), (ry, rx), turn = rng.uniform(0.1, 0.9, 2), rng.uniform(0.1, 0.25, 2), rng.uniform(0, np.pi)
            u = np.cos(turn) * (x - cx) + np.sin(turn) * (y - cy)
            v = np.cos(turn) * (y - cy) - np.sin(turn) * (x - cx)
            radius = np.sqrt((u / rx) ** 2 + (v / ry) ** 2)
            field += rng.uniform(0.5, 1.0) / (1 + np.exp((radius - 1) * 8))
    return ((fields - fields.mean()) / fields.std())[..., None]


def _mixture(name: str, means: np.ndarray, std: float, num: int, seed: int) -> Problem:
    _check_float64()
    denoise = Mixture(jnp.asarray(means), jnp.asarray(std))
    start = np.random.default_rng(seed).normal(size=(num, *means.shape[1:]))
    between = np.cov(means.reshape(len(means), -1), rowvar=False, bias=True)
    covariance = between + std**2 * np.eye(len(between))
    return Problem(
        name, denoise, start=start, exact=_solution(denoise, start), schedule=SCHEDULE, covariance=covariance
    )


def _check_float64() -> None:
    if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError("got JAX in float32; expected float64; to fix: set JAX_ENABLE_X64=1, or jax.enable_x64(True)")


def _solution(denoise: Mixture, start: np.ndarray) -> np.ndarray:
    """D at `LAM_EXACT` of the ODE's solution by an adaptive eighth-order method, kept in the temporary folder."""
    digest = hashlib.sha256(b"1")  # of what the numbers depend on; the version changes with this function
    for values in (start, *jax.tree.leaves(denoise), SCHEDULE.betas, LAM_EXACT):
        digest.update(np.ascontiguousarray(values, np.float64).tobytes())
    path = Path(tempfile.gettempdir()) / "jaxdiff_solver_problems" / f"{digest.hexdigest()[:24]}.npy"
    if path.is_file():
        return np.load(path)

    def drift(lam, x, args):
        alpha2 = jax.nn.sigmoid(2 * lam)
        return jnp.sqrt(alpha2) * jax.vmap(denoise, (0, None))(x, lam) - alpha2 * x

    @jax.jit
    def solve(x):
        # One step size for all of a chunk, chosen by the worst value: ten times fewer, larger calls than one by one.
        worst = lambda error: jnp.max(jnp.abs(error))  # noqa: E731
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(drift),
            diffrax.Dopri8(),
            t0=SCHEDULE.lam_min,
            t1=LAM_EXACT,
            dt0=0.05,
            y0=x,
            stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-9, norm=worst),
            max_steps=20_000,
        )
        assert solution.ys is not None
        return jax.vmap(denoise, (0, None))(solution.ys[-1], LAM_EXACT)

    parts = np.array_split(start, -(-len(start) // CHUNK))
    exact = np.concatenate([np.asarray(solve(jnp.asarray(part))) for part in parts])
    path.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
        np.save(file, exact)
    Path(file.name).replace(path)
    return exact
