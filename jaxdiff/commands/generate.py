"""New images from a run, in the data's own units: some as OME-TIFFs, with a sheet and a record, many by a bulk run."""

import importlib.metadata
import math
import shlex
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro
from tqdm import tqdm

from jaxdiff.bulk import Job, bulk, manifest
from jaxdiff.bulk.processes import joined_processes
from jaxdiff.commands.solver_options import SolverOptions, check_calls
from jaxdiff.data.files.write import check_writable, write_image
from jaxdiff.data.shown.picture import sheet
from jaxdiff.durable import write_json
from jaxdiff.guidance import Guidance
from jaxdiff.loading import load
from jaxdiff.lock import only_writer
from jaxdiff.model import Model
from jaxdiff.seeds import key_of

SHEET = 64  # images shown
BATCH = 64
MOST_FILES = 4096
"""Beyond this many images, files of single images are more than folders and people handle well."""


@dataclass(frozen=True)
class Generate(SolverOptions):
    """New images from a trained run."""

    run: Path | None = None
    """Folder of the run, as `train.py` makes it, or the name of a model that comes with jaxdiff."""
    num: int = 64
    """How many images."""
    out: Path = Path("samples")
    """Folder for the images: new or empty, or that of the same bulk run, which is then continued."""
    seed: int = 0
    """Image i depends on this and i alone (at equal batch)."""
    label: int | None = None
    """Class of all images; default: all classes in turn, where the model knows classes."""
    guidance: float = 1.0
    """Scale of classifier-free guidance on the class; 1 = none."""
    guidance_interval: tuple[float, float] | None = None
    """λ from and to which guidance acts; default everywhere."""
    guidance_rescale: float = 0.0
    """Share, 0 to 1, by which the guided image gets back the contrast of the unguided one; the paper takes 0.7."""
    batch: int | None = None
    """Images in one program on each device; default at most 64, in a bulk run what memory and rate suggest."""
    checkpoint: int | None = None
    """Step of the checkpoint; default the newest."""
    allow: tuple[str, ...] = ()
    """Packages, or paths of .py files, of your own whose classes the run may name: their code runs."""
    dtype: Literal["float32"] | None = None
    """float32 keeps all digits; default the data's dtype, rounded."""
    format: Literal["tiff", "zarr", "array_record"] | None = None
    """A file an image, or a bulk run: sharded Zarr v3 or a TFDS data set; default zarr beyond 4096 images."""
    shard: int | None = None
    """Bulk: images in a file, a multiple of all devices' micro-batch; default 64 to 128 MB or ten minutes' work."""
    verify: bool = False
    """Bulk: on continuing, compare the checksums of all finished files first."""
    distributed: bool = False
    """Bulk: one of several processes, by jax.distributed; each writes its own shards to the same folder."""
    coordinator: str | None = None
    """host:port of process 0; default what the cluster says."""
    num_processes: int | None = None
    """How many processes; with --process-id and without --distributed, jobs that know nothing of each other."""
    process_id: int | None = None
    """Which of them this is, from 0."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("num", "batch", "shard"):
            if (getattr(self, name) or 1) < 1 or getattr(self, name) == 0:
                raise ValueError(f"got {name}={getattr(self, name)}; expected at least 1; to fix: --{name} 1 or more")

    @property
    def guided(self) -> Guidance:
        """The numbers of guidance, together."""
        return Guidance(self.guidance, self.guidance_interval, self.guidance_rescale)


def generate(options: Generate, runs: Path = Path("runs"), command: str = "the same call") -> int:
    """Makes `options.num` images; returns the exit status: 0, or 1 if some images were not finite.

    `command` is what a message names as the way to continue. Raises FileNotFoundError or ValueError, with what to do,
    before anything is written; in a bulk run also what `jaxdiff.bulk.bulk` raises.
    """
    chosen = options.format or ("tiff" if options.num <= MOST_FILES else "zarr")
    _check_options(options, chosen)
    parts = (options.distributed, options.coordinator, options.num_processes, options.process_id)
    with joined_processes(*parts) as (process, processes):
        model, solver, cond = _prepared(options, runs)  # where there are several processes, they read it together
    if options.format is None and chosen != "tiff":
        print(
            f"more than {MOST_FILES} images: one sharded Zarr array instead of as many files (--format tiff|array_record)"
        )
    if chosen == "tiff":
        check_writable(options.dtype or model.info.dtype)
        with only_writer(options.out):
            manifest.read_manifest(options.out)  # another process may have been there since
            return _files(options, model, solver, cond)
    calls = options.calls_of(model, solver)
    job = Job(
        model=model,
        num=options.num,
        out=Path(options.out),
        solver=solver,
        grid=model.grid(calls, solver),
        seed=options.seed,
        cond=cond,
        guidance=options.guided,
        format=chosen,
        dtype=options.dtype,
        shard=options.shard,
        batch=options.batch,
        source=(("checkpoint", model.step),),
        process=process,
        processes=processes,
        verify=options.verify,
        command=command,
    )
    return bulk(job)


def _files(options: Generate, model: Model, solver: Any, cond: dict[str, Any] | None) -> int:
    """One OME-TIFF an image, and generate.json."""
    out, devices = Path(options.out), jax.devices()
    mesh = jax.make_mesh((len(devices),), ("image",)) if len(devices) > 1 else None
    batch = options.batch or min(BATCH, math.ceil(options.num / len(devices)))
    grid = model.grid(options.calls_of(model, solver), solver)
    key, size = key_of(options.seed), batch * len(devices)
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
                solver=solver,
                grid=grid,
                cond=part,
                guidance=options.guided,
                batch=batch,
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
        "batch": batch,
        "grid": grid.tolist(),
        "labels": None if cond is None else np.asarray(cond["label"]).tolist(),
        "calls_per_image": int(np.max(nfe)),
        "not_finite": failed,
        "saturated_values": saturated,
        "seconds": round(seconds, 3),
        "devices": [device.device_kind for device in devices],
    }
    write_json(out / "generate.json", record)
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
        folders = sorted(str(path.parent) for path in runs.glob("*/run.json"))
        verb = "is" if len(folders) == 1 else "are"
        listing = f"there {verb} {', '.join(folders)}" if folders else f"{runs}/ holds none yet"
        fix = (
            f"--run {folders[0]}"
            if folders
            else "`jaxdiff demo-train` or `python train.py CONFIG` makes one, then --run runs/NAME"
        )
        raise ValueError(f"got no --run; expected a run folder ({listing}); to fix: {fix}")
    begun = manifest.read_manifest(Path(options.out))  # refuses a folder with anything but a bulk run in it
    options.named(options.run)  # what it refuses is refused before the run is read
    # A run that was trained further meanwhile is continued from the checkpoint that it was begun with.
    before = None if begun is None else begun["request"].get("checkpoint")  # None of a bulk run by the library
    model = load(options.run, options.checkpoint or before, allow=options.allow)
    if model.pairing is not None:
        task = model.pairing.pairs.task
        raise ValueError(
            f"got {options.run}, a model that was trained with pairs, to {task}; expected one of images alone; to fix: "
            f"sample.py {'generate-labelled' if task == 'generate' else task} --run {options.run}"
        )
    label: Any = options.label
    if label is None and model.classes:
        label = np.arange(options.num) % model.classes
    if options.guidance == 1.0 and (options.guidance_interval or options.guidance_rescale):
        raise ValueError(
            "got --guidance-interval or --guidance-rescale at guidance 1, which is none; expected another --guidance with "
            "it; to fix: add --guidance 2"
        )
    solver = options.solver_of(model, options.guidance)
    check_calls(options.calls_of(model, solver), model, solver)
    if options.guidance != 1.0 and label is None:
        raise ValueError(
            f"got --guidance {options.guidance} for a model without classes; expected 1; to fix: leave it out"
        )
    return model, solver, model.condition(options.num, label)


def _check_options(options: Generate, chosen: str) -> None:
    """Raises ValueError for what files of single images do not have, and for a bulk run's folder."""
    bulky = {"shard": options.shard, "verify": options.verify, "distributed": options.distributed}
    bulk_options = [
        f"--{name}"
        for name, value in (bulky | {"process-id": options.process_id}).items()
        if value not in (None, False)
    ]
    if chosen == "tiff" and bulk_options:
        raise ValueError(
            f"got {', '.join(bulk_options)} for {options.num} TIFF files; expected --format zarr or array_record with it; to "
            "fix: add one of these"
        )
    if chosen == "tiff" and (Path(options.out) / manifest.NAME).exists():
        raise ValueError(
            f"got --out {options.out}, which is not empty: it holds a bulk run; expected a new or empty folder; to fix: "
            "another --out, or --format zarr or array_record and the --num of that run"
        )


def main(args: list[str], prog: str = "sample.py generate") -> int:
    """The command: options from `args`; exit status."""
    command = shlex.join([*("python",) * prog.startswith("sample.py"), *prog.split(), *args])
    return generate(tyro.cli(Generate, prog=prog, args=args), command=command)
