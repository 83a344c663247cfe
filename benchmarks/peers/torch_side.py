"""PyTorch's side: diffusers' `UNet2DModel`, or the port of our UNet, under diffusers' own schedulers.

python -m benchmarks.peers.torch_side          (in an environment with torch, diffusers and safetensors)
"""

import json
import resource
import time
from pathlib import Path

import diffusers
import numpy as np
import safetensors.torch
import torch

from benchmarks.peers.protocol import serve
from benchmarks.peers.unet_torch import UNet

SCHEDULERS = {
    "DDIM": lambda **fields: diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=True, **fields),
    "DPM++2M": lambda **fields: diffusers.DPMSolverMultistepScheduler(final_sigmas_type="zero", **fields),
}
TRAINED = {"num_train_timesteps": 1000, "beta_schedule": "linear", "timestep_spacing": "trailing"}


class TorchSide:
    """A network, its scheduler and the clock; channels-last in memory, all cores or the GPU."""

    def __init__(self):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def describe(self) -> dict:
        """The device and versions."""
        return {
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
        }

    def make(self, folder: str, config: dict, seed: int) -> None:
        """Writes a pipeline's folders with random weights, also where diffusers starts from zeros."""
        torch.manual_seed(seed)
        model = diffusers.UNet2DModel.from_config(config)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
            else:
                torch.nn.init.normal_(parameter, std=0.1)
        for module in model.modules():
            if isinstance(module, torch.nn.GroupNorm):
                module.weight.data += 1.0
        model.save_pretrained(Path(folder) / "unet", safe_serialization=True)
        SCHEDULERS["DDIM"](**TRAINED, prediction_type="epsilon").save_pretrained(Path(folder) / "scheduler")

    def open(self, folder: str, dtype: str, compiled: str | None = None) -> dict:
        """Loads a pipeline's folders, or the folder of our UNet; `compiled` is a mode of `torch.compile`."""
        self.dtype, self.own = getattr(torch, dtype), (Path(folder) / "unet.json").is_file()
        if self.own:
            fields = json.loads((Path(folder) / "unet.json").read_text())
            model = UNet(**fields)
            model.load_flax(safetensors.torch.load_file(Path(folder) / "unet.safetensors"))
            self.lam = torch.tensor(np.load(Path(folder) / "lam.npy"), dtype=torch.float32, device=self.device)
            self.prediction = "v_prediction"
        else:
            model = diffusers.UNet2DModel.from_pretrained(Path(folder) / "unet")
            self.prediction = "epsilon"
        model = model.to(self.device, self.dtype, memory_format=torch.channels_last).eval().requires_grad_(False)
        self.model = torch.compile(model, mode=compiled) if compiled else model
        return {"parameters": sum(p.numel() for p in model.parameters())}

    def _call(self, x: torch.Tensor, label, classes) -> torch.Tensor:
        if self.own:
            return self.model(x, self.lam[label].expand(len(x)))
        return self.model(x, label, class_labels=classes, return_dict=False)[0][:, : x.shape[1]]

    def _array(self, file: str) -> torch.Tensor:
        x = torch.from_numpy(np.load(file)).to(self.device, self.dtype)
        return x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)

    def _classes(self, num: int):
        classes = None if self.own else self.model.config.num_class_embeds
        return None if classes is None else torch.arange(num, device=self.device) % classes

    @torch.inference_mode()
    def call(self, start: str, label: int, out: str) -> None:
        """One network call on the images in `start` (n, h, w, c), at the trained step `label`."""
        x = self._array(start)
        y = self._call(x, torch.tensor(label, device=self.device), self._classes(len(x)))
        np.save(out, y.permute(0, 2, 3, 1).float().cpu().numpy())

    @torch.inference_mode()
    def sample(self, start: str, calls: int, solver: str, out: str | None = None) -> float:
        """Seconds of a whole trajectory from the states in `start`."""
        x = self._array(start)
        classes = self._classes(len(x))
        scheduler = SCHEDULERS[solver](**TRAINED, prediction_type=self.prediction)
        scheduler.set_timesteps(calls, device=self.device)
        self._wait()
        begin = time.perf_counter()
        for step in scheduler.timesteps:
            x = scheduler.step(self._call(x, step, classes), step, x).prev_sample
        self._wait()
        seconds = time.perf_counter() - begin
        if out is not None:
            np.save(out, x.permute(0, 2, 3, 1).float().cpu().numpy())
        return seconds

    def train_open(self, start: str, remat: bool = False) -> None:
        """A training step of the opened network on the images in `start`: AdamW and an average of the parameters."""
        self.images = self._array(start).float()
        self.labels = torch.arange(len(self.images), device=self.device)
        parameters = [p for p in self.model.parameters() if p.is_floating_point()]
        self.model.train()
        for parameter in parameters:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
        self.parameters = parameters
        self.average = [p.detach().clone() for p in parameters]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
        if remat:
            self.model.enable_gradient_checkpointing()

    def train(self, steps: int) -> dict:
        """Seconds of `steps` training steps, and the last loss."""
        self._wait()
        begin = time.perf_counter()
        for _ in range(steps):
            noise, u = torch.randn_like(self.images), torch.rand(len(self.images), device=self.device)
            lam = -torch.log(torch.tan(torch.pi / 2 * u.clamp(0.01, 0.99)))
            alpha, sigma = (torch.sigmoid(s * 2 * lam).sqrt()[:, None, None, None] for s in (1, -1))
            x = (alpha * self.images + sigma * noise).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                output = self._train_call(x, lam)
                loss = torch.nn.functional.mse_loss(output.float(), noise)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, float("inf"))  # the norm, which our step reports
            self.optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.parameters, 1e-3)
        value = loss.item()
        self._wait()
        return {"seconds": time.perf_counter() - begin, "loss": value}

    def _train_call(self, x: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
        if self.own:
            return self.model(x, lam)
        classes = self._classes(len(x))
        return self.model(x, lam, class_labels=classes, return_dict=False)[0][:, : x.shape[1]]

    @torch.inference_mode()
    def peak(self, size: int, dtype: str, repeats: int) -> float:
        """TFLOP/s of a square matrix product, the best of `repeats`."""
        a = torch.randn(size, size, device=self.device).to(getattr(torch, dtype))
        times = []
        for _ in range(repeats + 1):
            self._wait()
            begin = time.perf_counter()
            a @ a
            self._wait()
            times.append(time.perf_counter() - begin)
        return 2e-12 * size**3 / min(times[1:])

    def memory(self) -> int:
        """Peak bytes: of the allocator on a GPU, of the process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


if __name__ == "__main__":
    serve(TorchSide())
