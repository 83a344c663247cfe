"""`python -m benchmarks.evidence --samples samples/bbbc039_64 --data PATH/bbbc039 --size 64`: see docs/evidence.md.

Without --samples only the floor and the controls are measured. `--against dev` while anything is still being chosen;
val once, for the numbers that are reported.
"""

import dataclasses
import datetime
import hashlib
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from benchmarks.command import command
from benchmarks.evidence import controls, crops, report, results
from benchmarks.evidence.crops import Crops
from benchmarks.evidence.measures import compare, counts, features, passed_by
from benchmarks.evidence.neighbours import Neighbours
from benchmarks.evidence.nuclei import Segmentation
from benchmarks.report import write_sections
from jaxdiff.data.errors import DataError
from jaxdiff.data.normalise import Normaliser

CONTROLS = ("phase", "blurred", "repeated")


@dataclass(frozen=True)
class Evidence:
    """Compare generated images with held-out real crops of BBBC039, beside a floor and controls."""

    data: Path
    """The BBBC039 folder, with {train,dev,val}/images."""
    samples: Path | None = None
    """Generated images in grey levels: a folder of TIFFs, an .npy or an .npz."""
    size: int = 64
    """Crop size in pixels, after binning."""
    binning: int = 1
    """Mean over that many pixels in y and in x."""
    against: Literal["val", "dev"] = "val"
    """The split that real crops come from: val once, for what is reported."""
    num: int = 1000
    """Crops of each set, and generated images."""
    distinct: int = 64
    """Distinct crops in the control that repeats them."""
    draws: int = 1000
    """Bootstrap draws."""
    seed: int = 0
    """Seed of crops, controls and bootstrap."""
    results: Path = Path("benchmarks/results")
    """Folder with segmentation_SIZE.json, to which evidence_SIZE.json is written."""
    docs: Path | None = Path("docs")
    """Folder of evidence.md and images/; written only for samples against val."""


def main(config: Evidence) -> None:
    """Stores the result, prints its table and, of samples against val, writes the section of the page."""
    result = run(config)
    name = f"evidence_{config.size}" + ("" if config.against == "val" else f"_{config.against}")
    results(name, config.results).write(result)
    print(report.markdown(result))
    print(f"{result['seconds']:.0f} s")
    if "sheet" in result and config.docs is not None:
        write_sections(config.docs / "evidence.md", {str(config.size): report.section(result)})


def run(config: Evidence) -> dict[str, Any]:
    """Everything that evidence_SIZE.json holds. Raises DataError before any long work."""
    began = time.perf_counter(), time.process_time()
    if find_spec("skimage") is None:
        raise DataError("no scikit-image", "the benchmark's own packages", "pip install -r benchmarks/requirements.txt")
    how, chosen = _segmentation(config)
    samples = None if config.samples is None else crops.load_samples(config.samples, config.num, config.size)
    train = crops.load_fields(config.data, "train", config.binning)
    fields = crops.load_fields(config.data, config.against, config.binning)
    shared = set(train.wells) & set(fields.wells)
    if shared:
        raise DataError(f"wells {sorted(shared)} in train and {config.against}", "disjoint splits", "split by well")
    normaliser = Normaliser.fit([image[..., None] for image in train.images])

    def rng(k: int) -> np.random.Generator:
        return np.random.default_rng([config.seed, k])

    real, _ = crops.draw(fields, config.num, config.size, rng(0))
    floor, _ = crops.draw(train, config.num, config.size, rng(1))
    z = normaliser.forward(floor.images[..., None])[..., 0]
    phase = normaliser.inverse(controls.phase_randomised(z, rng(2))[..., None])[..., 0]
    sets = {
        "real": real,
        "floor": floor,
        "phase": Crops(crops.whole(phase), floor.groups),
        "blurred": Crops(crops.whole(controls.blurred(floor.images, config.size / 32)), floor.groups),
    } | ({} if samples is None else {"samples": samples})
    levels = np.unique(np.concatenate([np.unique(s.images) for s in sets.values()]))
    search = Neighbours([normaliser.forward(f[..., None])[..., 0] for f in train.images], train.wells, config.size)
    measured = {}
    for name, these in tqdm(sets.items(), desc="measuring", unit="set", leave=False):
        elsewhere = floor.groups if name == "floor" else None  # a train crop's own well would hold the crop itself
        measured[name] = features(these, levels, normaliser=normaliser, how=how, train=search, owners=elsewhere)
    index, place = np.unique(controls.repeated(config.num, config.distinct, rng(3)), return_inverse=True)
    copies = measured["floor"].rows(index[place])
    measured["repeated"] = dataclasses.replace(copies, nearest=search.nearest(z[index])[place])
    reference = measured.pop("real")
    table = {name: compare(x, reference, config.draws, config.seed) for name, x in measured.items()}
    result: dict[str, Any] = {
        "format": 1,
        "date": datetime.date.today().isoformat(),
        "command": shown_command(sys.argv[1:]),
        "seconds": time.perf_counter() - began[0],
        "cpu_seconds": time.process_time() - began[1],
        "machine": results("evidence").machine(),
        **{name: getattr(config, name) for name in ("size", "binning", "against", "num", "distinct", "draws", "seed")},
        "real": {
            "fields": len(fields.images),
            "wells": len(set(fields.wells)),
            "nuclei": len(reference.nuclei.area),
            "blank": float(np.mean(counts(reference) == 0)),
            "median_distance_to_train": float(np.median(reference.nearest)),
        },
        "normaliser": normaliser.to_json(),
        "segmentation": {name: chosen[name] for name in ("segmentation", "dev")},
        "table": table,
        "passed_by": passed_by(table, CONTROLS),
    }
    if samples is not None and config.samples is not None:
        result["samples"] = {
            "name": config.samples.name,
            "pixels_sha256": hashlib.sha256(samples.images.astype("<i8").tobytes()).hexdigest(),
            "made_by": crops.sampling_record(config.samples),
            "run_json_sha256": crops.run_digest(config.samples),
        }
        if config.against == "val" and config.docs is not None:
            name = f"evidence_{config.size}.png"
            report.side_by_side(samples.images, real.images, normaliser, config.docs / "images" / name)
            result["sheet"] = f"images/{name}"
    return result


def shown_command(arguments: list[str]) -> str:
    """The command line, absolute folders shortened to their names."""
    short = [Path(a).name if a.startswith("/") else a for a in arguments]
    return " ".join(["python -m benchmarks.evidence", *short])


def _segmentation(config: Evidence) -> tuple[Segmentation, dict[str, Any]]:
    stored = results(f"segmentation_{config.size}", config.results)
    fix = f"python -m benchmarks.evidence.choose --data PATH --size {config.size} --binning {config.binning}"
    chosen = stored.read()
    if not chosen:
        raise DataError(f"no {stored.path}", "the segmentation chosen on dev", fix)
    if (chosen["size"], chosen["binning"]) != (config.size, config.binning):
        raise DataError(
            f"{stored.path} for size {chosen['size']}, binning {chosen['binning']}", "the same as asked for", fix
        )
    return Segmentation(**chosen["segmentation"]), chosen


if __name__ == "__main__":
    command(main, __doc__)
