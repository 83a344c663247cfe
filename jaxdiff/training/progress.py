"""The progress bar of a run: images per second and the time that is left."""

import sys
import time

import jax
from tqdm import tqdm

from jaxdiff.training.cadence import Budget
from jaxdiff.training.flops import peak

QUIET_SECONDS = 15.0
"""Without a terminal (a log file), a line at most this often."""


class Progress:
    """A bar over the used part of the budget, be it steps or minutes; plain lines where there is no terminal."""

    def __init__(self, budget: Budget, step: int, batch_size: int, shown: bool = True):
        """shown: whether this process speaks."""
        self._budget, self._batch_size, self._loss = budget, batch_size, ""
        self._first, self._fraction = time.monotonic(), budget.fraction(step)
        self._since, self._rate, self._use = (step, self._first), 0.0, "? TFLOP/s"
        self._speaks, self._terminal = shown, shown and sys.stderr.isatty()
        self._shown = self._first
        self.flops = 0.0
        """Operations of a step, once they are known."""
        form = "{percentage:3.0f}%|{bar:24}| {postfix}"
        self._bar = tqdm(total=100, bar_format=form, disable=not self._terminal, leave=True)

    def restart(self, step: int) -> None:
        """Leave out what took no steps (compilation, previews, validation) from the rate."""
        self._since = (step, time.monotonic())

    def update(self, step: int, row: dict[str, float]) -> None:
        """After a row of metrics: adds "images_per_second" to it and shows it."""
        steps, now = step - self._since[0], time.monotonic()
        if steps > 0 and now > self._since[1]:
            self._rate = steps * self._batch_size / (now - self._since[1])
            row["images_per_second"] = self._rate
            per_second = self.flops * steps / (now - self._since[1])
            row["tflops_per_second"], self._use = per_second / 1e12, f"{per_second / 1e12:.3g} TFLOP/s"
            if highest := peak():
                row["mfu"] = per_second / (highest * jax.device_count())
                self._use = f"MFU {100 * row['mfu']:.1f} %"
        self.restart(step)
        self._loss = f"loss {row['loss']:.4f} · " if "loss" in row else "no finite loss · "
        self.show(step)

    def show(self, step: int) -> None:
        """Redraw."""
        if not self._terminal and time.monotonic() - self._shown < QUIET_SECONDS:
            return
        self._shown = time.monotonic()
        fraction = self._budget.fraction(step)
        gained = fraction - self._fraction
        left = (1 - fraction) * (time.monotonic() - self._first) / gained if gained > 0 else None
        text = f"step {step} · {self._loss}{self._rate:.0f} images/s · {self._use} · {_clock(left)} left"
        if self._terminal:
            self._bar.n = 100 * fraction
            self._bar.set_postfix_str(text, refresh=True)
        else:
            self.say(f"{100 * fraction:3.0f}% {text}")

    def say(self, text: str) -> None:
        """A line above the bar, on stderr."""
        if self._speaks:
            tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        self._bar.close()


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
