"""Grids: n rising values of λ in float64 NumPy, where the network is called.

The end of a grid decides more than the solver: the last call returns D, and its error is the noise still in x there.
With few calls it is better to stop early and take long steps less; the measured optimum (exact mixture in 16-D, linear
betas, DPM-Solver++(2M), standard deviation 1) is near λ = 2.5 for 8 calls and 3.5 for 20, hence

    λ_end(n) = 0.23 + 1.09 log n − log std(x0),      at most the schedule's lam_max.

The start is the schedule's noise end, but not below λ = −6 − log std(x0): there the mean brightness of a 64×64 image, the
strongest mode that an image can have, holds less than 3 % of the variance that the noise has in it, and steps further
out would be spent on nothing.
"""

import math
from typing import Literal

import numpy as np
from jaxtyping import Float

from jaxdiff.process.schedules import DiscreteBetas, Schedule

Grid = Float[np.ndarray, " n"]


def default_end(schedule: Schedule, n: int, *, std: float = 1.0) -> float:
    """λ where a grid of `n` calls ends by default; `std` is the data's standard deviation in model units."""
    return min(schedule.lam_max, max(default_start(schedule, std=std) + 1.0, 0.23 + 1.09 * math.log(n) - math.log(std)))


def default_start(schedule: Schedule, *, std: float = 1.0) -> float:
    """λ where a grid starts by default."""
    return max(schedule.lam_min, -6.0 - math.log(std))


def _ends(schedule: Schedule, n: int, lam_min: float | None, lam_max: float | None, std: float) -> tuple[float, float]:
    if n < 1:
        raise ValueError(f"got n={n} calls; expected at least 1; to fix: ask for one call or more")
    start = default_start(schedule, std=std) if lam_min is None else lam_min
    end = default_end(schedule, n, std=std) if lam_max is None else lam_max
    if not schedule.lam_min - 1e-9 <= start <= end <= schedule.lam_max + 1e-9:
        raise ValueError(
            f"got a grid from {start:.4g} to {end:.4g}; expected rising values inside the schedule's "
            f"[{schedule.lam_min:.4g}, {schedule.lam_max:.4g}]; to fix: change lam_min or lam_max"
        )
    return start, end


def uniform_lam(
    schedule: Schedule, n: int, lam_min: float | None = None, lam_max: float | None = None, *, std: float = 1.0
) -> Grid:
    """`n` values uniform in λ.

    Args:
        schedule: whose ends bound the grid.
        n: network calls.
        lam_min: where it starts; default `default_start`.
        lam_max: where it ends; default `default_end(schedule, n, std=std)`.
        std: standard deviation of the data in model units, which moves the default ends.

    Returns:
        (n,) rising, float64.

    Raises:
        ValueError: for ends outside the schedule's, or that do not rise, or n below 1.
    """
    return np.linspace(*_ends(schedule, n, lam_min, lam_max, std), n)


def uniform_time(
    schedule: Schedule, n: int, lam_min: float | None = None, lam_max: float | None = None, *, std: float = 1.0
) -> Grid:
    """`n` values uniform in the schedule's time t.

    Args:
        schedule: whose ends bound the grid.
        n: network calls.
        lam_min: as in `uniform_lam`.
        lam_max: as in `uniform_lam`.
        std: as in `uniform_lam`.

    Returns:
        (n,) rising, float64.

    Raises:
        ValueError: as `uniform_lam`.
    """
    return _in_power_of_time(schedule, _ends(schedule, n, lam_min, lam_max, std), n, 1.0)


def flow_time(schedule: Schedule, n: int, lam_min: float | None = None, *, std: float = 1.0) -> Grid:
    """`n` values uniform in flow time t = σ/(α + σ), for steps that lead on to the clean end (`jd.MeanFlow`).

    The last step, from the last value to t = 0, is as long as the others, or begins at the schedule's clean end where that is
    noisier.

    Args:
        schedule: whose ends bound the grid.
        n: network calls.
        lam_min: where it starts; default `default_start`.
        std: standard deviation of the data in model units, which moves the default start.

    Returns:
        λ, rising.

    Raises:
        ValueError: for n below 1, and a start outside the schedule's ends.
    """
    start, _ = _ends(schedule, n, lam_min, schedule.lam_max, std)
    first, cleanest = (1.0 / (1.0 + math.exp(lam)) for lam in (start, schedule.lam_max))
    t = np.linspace(first, max(first / n, cleanest), n)
    lam = np.log1p(-t) - np.log(t)
    lam[0] = start
    return lam


def quadratic(
    schedule: Schedule, n: int, lam_min: float | None = None, lam_max: float | None = None, *, std: float = 1.0
) -> Grid:
    """`n` values uniform in √t, t the schedule's time: denser near the data.

    Song, Meng and Ermon 2021, arXiv 2010.02502, appendix D.2; `discrete(..., spacing="quadratic")` is their code's.

    Args:
        schedule: whose ends bound the grid.
        n: network calls.
        lam_min: as in `uniform_lam`.
        lam_max: as in `uniform_lam`.
        std: as in `uniform_lam`.

    Returns:
        (n,) rising, float64.

    Raises:
        ValueError: as `uniform_lam`.
    """
    return _in_power_of_time(schedule, _ends(schedule, n, lam_min, lam_max, std), n, 2.0)


def _in_power_of_time(schedule: Schedule, ends: tuple[float, float], n: int, power: float) -> Grid:
    """Values uniform in t^(1/power)."""
    first, last = (float(schedule.to_time(lam)) ** (1.0 / power) for lam in ends)
    lam = np.asarray(schedule.to_lam(np.linspace(first, last, n) ** power))
    lam[0], lam[-1] = ends[0], lam[-1] if n == 1 else ends[1]  # the round trip through t costs the last digits
    return lam


def karras(
    schedule: Schedule,
    n: int,
    *,
    rho: float = 7.0,
    lam_min: float | None = None,
    lam_max: float | None = None,
    std: float = 1.0,
) -> Grid:
    """`n` values with (σ/α)^(1/ρ) uniform. Karras et al. 2022, arXiv 2206.00364, eq. 5.

    Args:
        schedule: whose ends bound the grid.
        n: network calls.
        rho: ρ above 0; the paper takes 7.
        lam_min: as in `uniform_lam`.
        lam_max: as in `uniform_lam`.
        std: as in `uniform_lam`.

    Returns:
        (n,) rising, float64.

    Raises:
        ValueError: as `uniform_lam`, and for ρ that is not above 0.
    """
    if not 0 < rho < math.inf:
        raise ValueError(f"got rho={rho}; expected a number above 0; to fix: rho=7.0")
    start, end = _ends(schedule, n, lam_min, lam_max, std)
    return -rho * np.log(np.linspace(math.exp(-start / rho), math.exp(-end / rho), n))


def discrete(
    schedule: DiscreteBetas,
    n: int,
    spacing: Literal["leading", "linspace", "trailing", "quadratic"] = "trailing",
    offset: int = 0,
) -> Grid:
    """The λ of `n` of the T trained steps, chosen as DDPM and DDIM code does; nothing is interpolated.

    leading: i · (T // n) + offset; linspace: round(linspace(0, T−1, n)); trailing: round(T − i T/n) − 1;
    quadratic: ⌊linspace(0, √(0.8 T), n)²⌋, for few calls, since from about √(0.8 T) on it repeats its first steps.
    Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed", arXiv 2305.08891, table 2; quadratic:
    Song, Meng and Ermon 2021, arXiv 2010.02502, appendix D.2 and code.

    Args:
        schedule: of T discrete steps.
        n: network calls, 1 to T.
        spacing: which steps, as above.
        offset: of "leading".

    Returns:
        (n,) rising, float64.

    Raises:
        ValueError: for n, spacing or offset that the T steps do not have.
    """
    total = schedule.num
    if not 1 <= n <= total:
        raise ValueError(f"got n={n} calls; expected 1 to {total}, the trained steps; to fix: ask for fewer calls")
    if spacing == "leading":
        steps = np.arange(n)[::-1] * (total // n) + offset
    elif spacing == "linspace":
        steps = np.linspace(0, total - 1, n).round().astype(int)[::-1]
    elif spacing == "trailing":
        steps = np.round(total - np.arange(n) * (total / n)).astype(int) - 1
    elif spacing == "quadratic":
        steps = (np.linspace(0, np.sqrt(0.8 * total), n) ** 2).astype(int)[::-1]
        if len(np.unique(steps)) < n:
            raise ValueError(
                f"got spacing='quadratic' with n={n}, which takes some of {total} steps twice; expected n up to "
                f"{1 + math.isqrt(int(0.8 * total))}; to fix: ask for fewer calls, or jd.grids.quadratic, which interpolates"
            )
    else:
        raise ValueError(f"got spacing={spacing!r}; expected 'leading', 'linspace', 'trailing' or 'quadratic'")
    if steps[0] >= total or steps[-1] < 0:
        reached = steps[0] if steps[0] >= total else steps[-1]
        raise ValueError(f"got offset={offset}, which reaches step {reached}; expected steps from 0 to {total - 1}")
    return schedule.lams[steps]
