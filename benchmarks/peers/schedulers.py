"""PyTorch's side of the solver benchmark: diffusers' schedulers around an exact denoiser, float64, same start noise.

python -m benchmarks.peers.schedulers          (in an environment with torch and diffusers)

The exact network sees what a trained one would: the input that the scheduler scales and the time label that it gives. λ of a
label is that of the 1000 trained steps, linear in between.
"""

from pathlib import Path
from typing import Any

import diffusers  # pyright: ignore[reportMissingImports]
import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from benchmarks.peers.protocol import serve


class SchedulersSide:
    """One exact problem after the other, each under many schedulers."""

    def describe(self, threads: int | None = None) -> dict:
        """Versions; sets the number of threads."""
        if threads:
            torch.set_num_threads(threads)
        return {"threads": torch.get_num_threads(), "torch": torch.__version__, "diffusers": diffusers.__version__}

    def problem(self, folder: str) -> None:
        """Reads NAME.npy of a folder: start, betas, and means with std, or basis with stds."""
        self.given = {path.stem: torch.from_numpy(np.load(path)) for path in Path(folder).glob("*.npy")}
        self.start = self.given["start"].flatten(1)
        log_alpha_bar = torch.cumsum(torch.log1p(-self.given["betas"]), 0)
        self.lams = 0.5 * (log_alpha_bar - torch.log(-torch.expm1(log_alpha_bar))).numpy()

    def run(self, scheduler: str, settings: dict[str, Any], calls: int, to: str, states: int = 64) -> dict[str, Any]:
        """Samples from the problem's start noise into `to`: final.npy, and states.npy of the first `states` noises.

        The states are those after each scheduler step, in variance-preserving coordinates. Returns the λ of the network
        calls as the scheduler steps (`lams`) and as its labels say (`labels`), λ of the state that it returns (`ends_at`,
        None for D itself), and what the start noise was scaled by.
        """
        peer = getattr(diffusers, scheduler)(
            num_train_timesteps=len(self.lams), trained_betas=self.given["betas"].numpy(), **settings
        )
        peer.set_timesteps(calls)
        probe = peer.scale_model_input(torch.ones(1, 1), peer.timesteps[0])
        in_sigma = float(probe) != 1.0  # k-diffusion's methods step y = x/α and scale it for the network
        sigmas = getattr(peer, "sigmas", None)
        if sigmas is None or len(sigmas) <= len(peer.timesteps):
            stepped = self._lams(peer.timesteps)
        else:
            stepped = -torch.log(sigmas[: len(peer.timesteps)].double()).numpy()
        y = self.start * float(peer.init_noise_sigma)
        generator = torch.Generator().manual_seed(0)
        random = {"generator": generator} if "sde" in settings.get("algorithm_type", "") else {}
        stored, labels = [], []
        scale = torch.sigmoid(torch.tensor(2 * stepped)).sqrt() if in_sigma else torch.ones(len(stepped))
        for k, time in enumerate(peer.timesteps):
            x = peer.scale_model_input(y, time)
            labels.append(float(self._lams(time[None])[0]))
            y = peer.step(self._eps(x.double(), labels[-1]), time, y, **random).prev_sample.double()
            after = scale[k + 1] if k + 1 < len(scale) else 1.0
            stored.append(y[:states] * after)
        np.save(Path(to) / "final.npy", y.numpy().reshape(self.given["start"].shape))
        np.save(Path(to) / "states.npy", torch.stack(stored, 1).numpy())
        ends = None if sigmas is None or float(sigmas[-1]) == 0 else float(-torch.log(sigmas[-1].double()))
        return {
            "lams": stepped.tolist(),
            "labels": labels,
            "ends_at": ends,
            "start_scale": float(peer.init_noise_sigma) * float(scale[0]),
            "calls": len(labels),
        }

    def _lams(self, times) -> np.ndarray:
        return np.interp(np.asarray(times, np.float64), np.arange(len(self.lams)), self.lams)

    def _eps(self, x: torch.Tensor, lam: float) -> torch.Tensor:
        """(x − α D)/σ of the exact D at λ."""
        a2, s2 = (float(torch.sigmoid(torch.tensor(sign * 2 * lam, dtype=torch.float64))) for sign in (1, -1))
        a = a2**0.5
        if "basis" in self.given:
            gain = a * self.given["stds"] ** 2 / (a2 * self.given["stds"] ** 2 + s2)
            x0 = ((x @ self.given["basis"]) * gain) @ self.given["basis"].T
        else:
            means, std = self.given["means"].flatten(1), self.given["std"]
            variance = a2 * std**2 + s2
            share = torch.softmax((a * x @ means.T - 0.5 * a2 * (means**2).sum(1)) / variance, 1)
            gain = a * std**2 / variance
            x0 = (1 - gain * a) * share @ means + gain * x
        return (x - a * x0) / s2**0.5


if __name__ == "__main__":
    serve(SchedulersSide())
