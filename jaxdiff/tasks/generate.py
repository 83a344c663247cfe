"""New images from a run: OME-TIFFs in the data's own units, a sheet to look at, and a record of what was run."""

import importlib.metadata
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro
from tqdm import tqdm

from jaxdiff.data.picture import sheet
from jaxdiff.data.write import write_image
from jaxdiff.model import Model, load
from jaxdiff.tasks.solver_names import solver_named

SHEET = 64  # images shown


@dataclass(frozen=True)
class Generate:
    """New images from a trained run."""

    run: Path | None = None
    """Folder of the run, as `train.py` makes it."""
    num: int = 64
    """How many images."""
    out: Path = Path("samples")
    """Folder for the images; it must be new or empty."""
    solver: str = "dpmpp"
    """ddim, ddpm, dpmpp, unipc, deis, ipndm, edm-heun, or package.module:Class."""
    steps: int = 20
    """Values of λ on the way: network calls of a solver with one call a step."""
    seed: int = 0
    """Image i depends on this and i alone (at equal batch)."""
    order: int | None = None
    """Order of the solver, where it has one."""
    eta: float | None = None
    """Noise of the solver, where it has an eta."""
    label: int | None = None
    """Class of all images; default: all classes in turn, where the model knows classes."""
    guidance: float = 1.0
    """Scale of classifier-free guidance on the class; 1 = none."""
    batch: int = 64
    """Images in one program on each device."""
    checkpoint: int | None = None
    """Step of the checkpoint; default the newest."""
    dtype: Literal["float32"] | None = None
    """float32 keeps all digits; default the data's dtype, rounded."""

    def __post_init__(self):
        for name in ("num", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"got {name}={getattr(self, name)}; expected at least 1; to fix: --{name} 1 or more")


def generate(options: Generate, runs: Path = Path("runs")) -> int:
    """Writes `options.num` images; returns the exit status: 0, or 1 if some images were not finite.

    Raises FileNotFoundError or ValueError, with what to do, before anything is written.
    """
    model, solver, cond = _prepared(options, runs)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)

    devices = jax.devices()
    mesh = jax.make_mesh((len(devices),), ("image",)) if len(devices) > 1 else None
    key, size = jax.random.key(options.seed), options.batch * len(devices)
    digits, info = max(5, len(str(options.num - 1))), model.info.replace(synthetic=True)
    shown, failed, saturated, nfe = [], [], 0, 0
    began = time.perf_counter()
    with tqdm(total=options.num, unit="image", desc="generating", dynamic_ncols=True) as bar:
        for low in range(0, options.num, size):
            num = min(size, options.num - low)
            part = None if cond is None else jax.tree.map(lambda leaf, at=slice(low, low + num): leaf[at], cond)
            result = model.sample(
                key,
                num,
                calls=options.steps,
                solver=solver,
                cond=part,
                guidance=options.guidance,
                batch=options.batch,
                first=low,
                mesh=mesh,
            )
            nfe = result.nfe
            for i, (image, finite) in enumerate(zip(np.asarray(result.images), np.asarray(result.finite)), low):
                if not finite:
                    failed.append(i)
                    continue
                saturated += write_image(out / f"image_{i:0{digits}}.ome.tif", image, info, options.dtype)
                if len(shown) < SHEET:
                    shown.append(image)
            bar.update(num)
    seconds = time.perf_counter() - began
    if shown:
        sheet(model.normaliser.forward(np.stack(shown)), out / "sheet.png")  # its map shows dim and bright alike
    record = {
        "jaxdiff": importlib.metadata.version("jaxdiff"),
        "jax": jax.__version__,
        "options": {name: str(v) if isinstance(v, Path) else v for name, v in asdict(options).items()},
        "shape": list(model.shape),
        "grid": model.grid(options.steps).tolist(),
        "labels": None if cond is None else np.asarray(cond["label"]).tolist(),
        "calls_per_image": int(np.max(nfe)),
        "not_finite": failed,
        "saturated_values": saturated,
        "seconds": round(seconds, 3),
        "devices": [device.device_kind for device in devices],
    }
    (out / "generate.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(
        f"{options.num - len(failed)} images of {' x '.join(map(str, model.shape))} in {out} "
        f"({record['calls_per_image']} calls each, {seconds:.1f} s); look at {out / 'sheet.png'}"
    )
    if saturated:
        print(f"{saturated} values beyond the range of {model.info.dtype} became its end (--dtype float32 keeps them)")
    if failed:
        print(f"{len(failed)} images were not finite and were not written: {failed[:10]}")
    return 1 if failed else 0


def _prepared(options: Generate, runs: Path) -> tuple[Model, Any, dict[str, Any] | None]:
    if options.run is None:
        found = sorted(str(path.parent) for path in runs.glob("*/run.json"))
        known = f"there {'is' if len(found) == 1 else 'are'} {', '.join(found)}" if found else f"{runs}/ holds none yet"
        fix = (
            f"--run {found[0]}"
            if found
            else "`jaxdiff demo` or `python train.py CONFIG` makes one, then --run runs/NAME"
        )
        raise ValueError(f"got no --run; expected a run folder ({known}); to fix: {fix}")
    out = Path(options.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"got --out {out}, which is not empty; expected a new or empty folder; to fix: another --out")
    solver = solver_named(options.solver, order=options.order, eta=options.eta)
    model = load(options.run, options.checkpoint)
    label: Any = options.label
    if label is None and model.network.num_classes:
        label = np.arange(options.num) % model.network.num_classes
    if options.guidance != 1.0 and label is None:
        raise ValueError(
            f"got --guidance {options.guidance} for a model without classes; expected 1; to fix: leave it out"
        )
    return model, solver, model.condition(options.num, label)


def main(args: list[str], prog: str = "sample.py generate") -> int:
    """The command: options from `args`; exit status."""
    return generate(tyro.cli(Generate, prog=prog, args=args))
