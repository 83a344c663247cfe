"""The formats that are read: a small whole file or folder of each, and what its reader makes of it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import tifffile

import jaxdiff as jd
from benchmarks.fuzz.image_files import IMAGES, Format, picture
from jaxdiff.bulk import manifest
from jaxdiff.bulk.shards import Shard, ShardRecord, Written, records
from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo
from jaxdiff.data.normalise import Normaliser
from jaxdiff.durable import sealed, sha256, write_json
from jaxdiff.interop import export_sampler, load_diffusers, load_sampler
from jaxdiff.solvers import Tuned
from jaxdiff.tasks.class_calibration import Calibration, load_calibration
from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.packed import pack
from jaxdiff.training.restore import restore_step
from jaxdiff.training.run_folder import describe
from jaxdiff.tuning import stored

NETWORK = jd.UNet(width=8, multipliers=(1,), blocks=1, attention=(False,), head_size=8, num_classes=2)
INFO = DataInfo(channel_names=("DAPI",), pixel_size={"Y": 0.65, "X": 0.65}, unit="µm", class_names=("a", "b"))
TOY = Path(__file__).parents[2] / "tests" / "interop" / "toys" / "ddpm"


def run(folder: Path) -> Path:
    """A run folder with random weights."""
    config = TrainConfig(name=folder.name, out=str(folder.parent), patch=(8, 8), network=NETWORK, steps=3)
    batch = {"image": np.zeros((1, 8, 8, 1)), "cond": {"label": np.zeros(1, np.int32)}}
    shapes = jd.TrainState.shapes(jax.random.key(0), NETWORK, optax.sgd(0.1), batch)
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda leaf: (0.3 * rng.normal(size=leaf.shape)).astype(leaf.dtype), shapes)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(state.replace(step=np.int32(3)), {"step": 3}, wait=True)
    write_json(folder / "run.json", describe(config, INFO, Normaliser("asinh", (200.0,), (90.0,), (0.8,), (0.9,))))
    return folder


def packed(folder: Path) -> None:
    pack(run(folder / "run"), folder / "small")
    shutil.rmtree(folder / "run")


def loaded(folder: Path) -> list[Any]:
    model = jd.load(folder / "small")
    return [model.denoise.params, model.network, model.schedule, model.shape, model.normaliser, model.info, model.step]


def tuned(folder: Path) -> None:
    solver = Tuned(np.array([-5.1, 1 / 3, 0.7]), np.array([0.1, 0.2, 0.3]), np.arange(6.0).reshape(3, 2) / 7)
    stored.save(folder, solver, {"checkpoint": 20, "guidance": 1.0})


def calibration(folder: Path) -> None:
    about = {"settings": {"draws": 8}, "checkpoint": 3}
    Calibration(temperature=12.5, mean=3.0, std=0.5, images=20, accuracy=0.9, nll=0.3, **about).save(folder)


def exported(folder: Path) -> None:
    path = run(folder / "run")
    export_sampler(jd.load(path), folder / "a.zip", calls=2, platforms=("cpu",))
    shutil.rmtree(path)


def sampler(folder: Path) -> list[Any]:
    exported = load_sampler(folder / "a.zip")
    return [dict(exported.weights), exported.meta, exported.program.__name__]


def diffusers(folder: Path) -> None:
    for part in ("unet", "scheduler"):
        shutil.copytree(TOY / part, folder / part)


def pretrained(folder: Path) -> list[Any]:
    model = load_diffusers(folder)
    return [model.denoise.params, model.schedule.betas, model.shape, model.denoise.predicts, model.denoise.network]


def prepared(file_format: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        from jaxdiff.data.prepared.prepare import prepare

        source = folder / "images"
        for name in ("a/0", "a/1", "b/2", "b/3"):
            path = source / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, picture((12, 14)) + np.uint16(int(name[-1])), metadata={"axes": "YX"})
        prepare(source, folder, "small", file_format, classes=True)  # pyright: ignore[reportArgumentType]
        shutil.rmtree(source)

    return make


def all_records(folder: Path) -> list[Any]:
    from jaxdiff.data.prepared.tfds import TfdsSource

    source = TfdsSource("small", folder)
    return [source.info, source.index, *(source[i] for i in range(len(source)))]


def bulk(folder: Path) -> None:
    out = folder / "out"
    (out / "sections").mkdir(parents=True)
    (out / "shards").mkdir()
    (out / "0").write_bytes(np.random.default_rng(0).bytes(500))
    ShardRecord(
        0,
        0,
        num=4,
        batch=2,
        files=[Written("0", 500, sha256(out / "0"))],
        not_finite=[1],
        saturated=3,
        payload=0,
        seconds=0.5,
        device="cpu",
    ).save(out)
    sections = [{"batch": 4, "why": "measured", "rates": {"4": 1.5}}]
    request = {"num": 4, "shard": 4, "seed": 0, "grid": [-3.0, 3.0], "shape": [8, 8, 1], "dtype": "uint16"}
    values = {"request": request, "asked_batch": None, "calls_per_image": 2, "sections": sections, "complete": False}
    device = {"device": "cpu", "devices": 1}
    manifest.write(out, {**values, "run": None, "info": INFO.to_json(), "versions": {"jax": "0.10"}, **device})
    write_json(out / "sections" / "00001.json", sealed({"batch": 2, "why": "asked for"}))


def continued(folder: Path) -> list[Any]:
    values = manifest.read_manifest(folder / "out")
    if values is None:
        raise ValueError("got a folder without manifest; expected one; to fix: begin anew")
    shards = list(records(folder / "out"))
    for record in shards:
        if problem := record.problem(folder / "out", Shard(0, 0, 4), ["0"], verify=True):
            raise ValueError(f"got {problem}; expected the shard as written; to fix: it is made again")
    return [values, manifest.sections(folder / "out", values), *map(asdict, shards)]


def results(folder: Path) -> None:
    from jaxdiff.commands.folders.results_folder import ResultsFolder

    place = ResultsFolder(folder / "out", (".txt",), {"calls": 2, "run": "runs/a"})
    place.claim(resume=False)
    (folder / "in").write_bytes(b"input")
    (folder / "out" / "a.txt").write_text("result")
    record = {"file": "in", "name": "a", "status": "done", "seconds": 0.5, "warnings": [], "numbers": {"misfit": 1.25}}
    place.finish("a", _as_read(folder / "in"), record)


def _as_read(path: Path) -> Any:
    from jaxdiff.commands.folders.as_read import AsRead

    return AsRead(path)


def finished(folder: Path) -> Any:
    from jaxdiff.commands.folders.results_folder import ResultsFolder

    place = ResultsFolder(folder / "out", (".txt",), {"calls": 2, "run": "runs/a"})
    place._check_same()
    record = place.finished("a", folder / "in")
    if record is None:
        raise DataError("another record, result or input", "those that were written", "it is made again")
    return record


def generated(folder: Path) -> None:
    from jaxdiff.commands.folders.set_progress import NAME

    values = {"seed": 0, "calls": 5, "groups": [{"names": ["a", "b"], "bytes": [10, 20], "saturated": 0, "crc32": 7}]}
    (folder / "out").mkdir()
    write_json(folder / "out" / NAME, {**values, "seconds": 1.5, "warnings": ["one"], "complete": False})


def progress(folder: Path) -> list[Any]:
    from jaxdiff.commands.folders.set_progress import SetProgress

    loaded = SetProgress.of(folder / "out", True, {"seed": 0, "calls": 5})
    return [[asdict(group) for group in loaded.groups], loaded.seconds, loaded.warnings]


def checkpoint(folder: Path) -> list[Any]:
    step, variables = restore_step(folder / "run", like=None)
    return [step, variables]


def rows(folder: Path) -> list[str]:
    from jaxdiff.training.metrics_log import truncate

    intact = (folder / "metrics.jsonl").read_bytes()
    truncate(folder / "metrics.jsonl", 3)
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "metrics.jsonl").write_bytes(intact)
    return [json.loads(line) for line in lines]


def metrics(folder: Path) -> None:
    lines = (json.dumps({"step": step, "loss": 1 / step}) + "\n" for step in range(1, 6))
    (folder / "metrics.jsonl").write_text("".join(lines))


FORMATS: dict[str, Format] = {
    **IMAGES,
    "run.json": Format(packed, loaded, ["small/run.json"]),
    "params.npz": Format(packed, loaded, ["small/params.npz"], "CRC-32 of every array"),
    "checkpoint": Format(
        lambda folder: (run(folder / "run"), None)[1],
        checkpoint,
        ["run/checkpoints/3/ema/**/*", "run/checkpoints/3/meta/*", "run/checkpoints/3/_CHECKPOINT_METADATA"],
        "CRC-32 of every leaf and of meta",
        quick=False,
    ),
    "tuned sampler": Format(tuned, lambda folder: [stored.load_tuned(folder, 3).solver.to_json()], ["tuned/3.json"]),
    "classifier.json": Format(calibration, lambda folder: asdict(load_calibration(folder)), ["*.json"]),
    "exported sampler": Format(exported, sampler, ["a.zip"], "CRC-32 of every part", quick=False),
    "diffusers: config": Format(diffusers, pretrained, ["unet/config.json", "scheduler/*.json"], quick=False),
    "diffusers: weights": Format(diffusers, pretrained, ["unet/*.safetensors"], quick=False),
    "prepared set: descriptions": Format(
        prepared("array_record"), all_records, ["small/1.0.0/*.json", "small/1.0.0/*.txt"]
    ),
    "prepared set: array_record": Format(
        prepared("array_record"),
        all_records,
        ["small/1.0.0/*.array_record*"],
        "hash of every block, Adler-32 of every image",
    ),
    "prepared set: parquet": Format(prepared("parquet"), all_records, ["small/1.0.0/*.parquet*"]),
    "bulk: manifest and records": Format(bulk, continued, ["out/manifest.json", "out/sections/*", "out/shards/*"]),
    "bulk: shard": Format(bulk, continued, ["out/0"], "SHA-256 of the file"),
    "folder task: record": Format(results, finished, ["out/records/*.json"], "CRC-32 of the record"),
    "folder task: summary": Format(results, finished, ["out/summary.json"]),
    "generate.json": Format(generated, progress, ["out/*.json"]),
    "metrics.jsonl": Format(metrics, rows, ["metrics.jsonl"]),
}
