"""When something is due, and how much of the run is left."""

import time
from dataclasses import dataclass
from typing import Annotated

from jaxdiff.schema import INFINITE


@dataclass(frozen=True)
class Every:
    """Due after so many steps, or so many minutes, whichever comes first; with neither, at the end of the run only."""

    steps: int | None = None
    """Steps from one time to the next."""
    minutes: Annotated[float, INFINITE] | None = None
    """Wall-clock minutes from one time to the next."""

    def __post_init__(self):
        for name in ("steps", "minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(
                    f"got {name}={value}; expected more than 0; to fix: leave it out for 'at the end only'"
                )


class Clock:
    """Tells when an `Every` is due; steps count from 0, so that a resumed run keeps the same ones."""

    def __init__(self, every: Every):
        self.every = every
        self._last = time.monotonic()

    def due(self, step: int) -> bool:
        """True when it is time; that starts the next interval of minutes."""
        by_steps = self.every.steps is not None and step % self.every.steps == 0
        by_time = self.every.minutes is not None and time.monotonic() - self._last >= 60 * self.every.minutes
        if by_steps or by_time:
            self._last = time.monotonic()
        return by_steps or by_time


@dataclass(frozen=True)
class Due:
    """Where a run stands after a step and what is due, the same on all hosts."""

    fraction: float
    """Used part of the budget."""
    done: bool
    validate: bool = False
    preview: bool = False
    save: bool = False


class Budget:
    """What a run may use: steps, or wall-clock minutes (over all its sessions), whichever ends first."""

    def __init__(self, steps: int | None, minutes: float | None, spent: float = 0.0):
        """`spent`: seconds that earlier sessions used."""
        self.steps, self.minutes = steps, minutes
        self._start = time.monotonic() - spent

    def seconds(self) -> float:
        """Seconds used, over all sessions."""
        return time.monotonic() - self._start

    def fraction(self, step: int) -> float:
        """Used part, 0 to 1. A function of the step alone when the budget is steps only: exactly repeatable."""
        parts = [step / self.steps] if self.steps else []
        if self.minutes:
            parts.append(self.seconds() / (60 * self.minutes))
        return min(1.0, max(parts))

    def done(self, step: int) -> bool:
        """True when nothing is left; a run takes at least one step."""
        return step > 0 and self.fraction(step) >= 1.0
