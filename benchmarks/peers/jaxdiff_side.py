"""jaxdiff's side of the comparison with PyTorch: the same networks, weights, solvers and start states.

python -m benchmarks.peers.jaxdiff_side
"""

import functools
import json
import resource
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load_file, save_file

import jaxdiff as jd
from benchmarks.machine import describe
from benchmarks.peers.protocol import serve
from jaxdiff.interop import load_diffusers
from jaxdiff.interop.diffusers import TimeLabel
from jaxdiff.training import DenoisingLoss, Stratified, TrainState, Uniform, make_train_step
from jaxdiff.training.flops import step_flops

SOLVERS = {"DDIM": jd.DDIM(), "DPM++2M": jd.DPMpp(order=2)}
SCHEDULE = jd.DiscreteBetas(np.linspace(1e-4, 0.02, 1000))


class JaxdiffSide:
    """A denoiser and the clock."""

    def describe(self) -> dict:
        """The machine and our versions."""
        return describe()

    def make(self, folder: str, config: dict, size: int, seed: int) -> None:
        """Writes our UNet with random weights, also where it starts from zeros."""
        network = jd.UNet(**{name: value for name, value in config.items() if name != "channels"})
        x = jnp.zeros((1, size, size, config["channels"]))
        shapes = flatten_dict(jax.eval_shape(network.init, jax.random.key(0), x, jnp.zeros(1)), sep=".")
        rng, weights = np.random.default_rng(seed), {}
        for name, leaf in shapes.items():
            spread = np.prod(leaf.shape[:-1]) ** -0.5 if name.endswith("kernel") else 0.1
            values = spread * rng.standard_normal(leaf.shape, dtype=np.float32) + name.endswith("scale")
            weights[name] = values.astype(np.float32)
        Path(folder).mkdir(parents=True)
        save_file(weights, Path(folder) / "unet.safetensors")
        np.save(Path(folder) / "lam.npy", SCHEDULE.lams)
        (Path(folder) / "unet.json").write_text(json.dumps(config))

    def open(self, folder: str, dtype: str) -> dict:
        """Loads a folder that either side made."""
        own = (Path(folder) / "unet.json").is_file()
        config = json.loads((Path(folder) / ("unet.json" if own else "unet/config.json")).read_text())
        head_size = config["head_size"] if own else config["attention_head_dim"] or max(config["block_out_channels"])
        flash = dtype == "bfloat16" and jax.default_backend() == "gpu" and head_size <= 128
        fields = {"dtype": dtype, "attention_implementation": "cudnn" if flash else None}
        if own:
            del config["channels"]
            params = jax.tree.map(jnp.asarray, unflatten_dict(load_file(Path(folder) / "unet.safetensors"), sep="."))
            self.denoise = jd.bind(jd.UNet(**config, **fields), params, "v")
        else:
            self.denoise = load_diffusers(folder, **fields).denoise
        self.classes = None if own else self.denoise.network.num_class_embeds
        return {"parameters": sum(leaf.size for leaf in jax.tree.leaves(self.denoise.params))}

    def _cond(self, num: int):
        return None if self.classes is None else {"label": jnp.arange(num) % self.classes}

    def call(self, start: str, label: int, out: str) -> None:
        """One call of the network itself on the images in `start`, at the trained step `label`."""
        x, lam = jnp.asarray(np.load(start)), jnp.asarray(SCHEDULE.lams[label])
        time_of = self.denoise.time
        label = jnp.broadcast_to(lam if time_of is None else TimeLabel(SCHEDULE)(lam), x.shape[:1])
        y = jax.jit(self.denoise.network.apply)(self.denoise.params, x, label, self._cond(len(x)))
        np.save(out, np.asarray(y[..., : x.shape[-1]]))

    def sample(self, start: str, calls: int, solver: str, out: str | None = None) -> float:
        """Seconds of a whole trajectory from the states in `start`."""
        x = jax.device_put(np.load(start))
        grid = jd.grids.discrete(SCHEDULE, calls, "trailing")
        run = functools.partial(jd.sample, jax.random.key(0), self.denoise, shape=x.shape[1:], num=len(x))
        cond = self._cond(len(x))
        begin = time.perf_counter()
        images = jax.block_until_ready(run(solver=SOLVERS[solver], grid=grid, start=x, cond=cond, batch=len(x)).images)
        seconds = time.perf_counter() - begin
        if out is not None:
            np.save(out, np.asarray(images))
        return seconds

    def train_open(self, start: str, remat: bool = False) -> None:
        """A training step of the opened network on the images in `start`: AdamW and an average of the parameters."""
        network = self.denoise.network.clone(**({"remat": "all"} if remat else {}))
        loss = DenoisingLoss(lam_sampler=Stratified(jd.Cosine()), predicts="eps", weighting=Uniform())
        optimizer, self.batch = optax.adamw(1e-4), {"image": np.load(start)}
        if (cond := self._cond(len(self.batch["image"]))) is not None:
            self.batch["cond"] = cond
        self.step = make_train_step(loss, optimizer)
        params = jax.tree.map(jnp.copy, self.denoise.params)
        zero = lambda: jnp.zeros((), jnp.int32)  # noqa: E731
        ema = jax.tree.map(jnp.copy, params)
        self.state = TrainState(
            zero(),
            params,
            ema=ema,
            power_ema=(),
            opt_state=optimizer.init(params),
            skipped=zero(),
            skipped_in_row=zero(),
            network=network,
        )
        self.train_flops = step_flops(loss, network, params, self.batch, len(self.batch["image"]))

    def train(self, steps: int) -> dict:
        """Seconds of `steps` training steps, operations of one, and the last loss."""
        key = jax.random.key(0)
        begin = time.perf_counter()
        for _ in range(steps):
            self.state, metrics = self.step(self.state, self.batch, key)
        loss = float(metrics["loss"])
        return {"seconds": time.perf_counter() - begin, "flops": self.train_flops, "loss": loss}

    def flops(self, start: str) -> float:
        """Floating-point operations of one network call on all images in `start`, as XLA counts them."""
        x = jnp.asarray(np.load(start))
        apply, params = jax.jit(self.denoise.network.apply), self.denoise.params
        cost = apply.lower(params, x, jnp.zeros(len(x)), self._cond(len(x))).cost_analysis()
        return float(cost["flops"])

    def peak(self, size: int, dtype: str, repeats: int) -> float:
        """TFLOP/s of a square matrix product, the best of `repeats`."""
        a = jax.random.normal(jax.random.key(0), (size, size)).astype(dtype)
        product = jax.jit(lambda a: a @ a)
        times = []
        for _ in range(repeats + 1):
            begin = time.perf_counter()
            jax.block_until_ready(product(a))
            times.append(time.perf_counter() - begin)
        return 2e-12 * size**3 / min(times[1:])

    def memory(self) -> int:
        """Peak bytes: of the allocator on a GPU, of the process on a CPU."""
        stats = jax.local_devices()[0].memory_stats()
        if stats and "peak_bytes_in_use" in stats:
            return stats["peak_bytes_in_use"]
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    serve(JaxdiffSide())
