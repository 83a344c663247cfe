"""What tasks.json holds, as markdown tables; what is not in it is said to be not measured."""

from collections.abc import Mapping
from typing import Any

from benchmarks.report import DOCS, interval, machine, table, write_sections
from benchmarks.tasks import (
    classification,
    hallucinations,
    scores,
    spectrum,
    store,
    synthetic_help,
    translation,
    unusual,
)
from benchmarks.tasks.exposure import PHOTONS

METHODS = {
    "noisy": "the recording itself",
    "otsu_watershed": "Otsu and watershed",
    "spline": "cubic spline",
    "nlm": "Anscombe and non-local means",
    "tv": "Anscombe and total variation",
    "regression": "regression U-Net",
    "regression_corrected": "regression U-Net, mean light corrected",
    "diffusion": "**diffusion**, mean of {samples}",
    "diffusion_uncorrected": "diffusion, mean of {samples}, mean light not corrected",
    "diffusion_one_sample": "diffusion, one sample",
}
COLUMNS = {
    "segmentation": {"ap50": "AP@0.5", "ap": "AP 0.5–0.9", "aji": "AJI", "pq": "PQ", "dice": "Dice"},
    "denoising": {
        "psnr": "PSNR (dB)",
        "ssim": "SSIM",
        "nrmse": "NRMSE",
        "bias_percent": "bias of the mean light (%)",
        "nuclei_bias_percent": "the same in nuclei (%)",
    },
}
COLUMNS["super-resolution"] = {name: COLUMNS["denoising"][name] for name in ("psnr", "ssim", "nrmse", "bias_percent")}
OURS = "diffusion"


def write() -> None:
    """Write the section on tasks of docs/evidence.md from tasks.json."""
    write_sections(DOCS / "evidence.md", {"tasks": markdown()})


def markdown() -> str:
    """The whole section."""
    result, parts = store.read(), []
    for task in COLUMNS:
        parts.append(f"### {task.capitalize()}")
        measured = result.get("scores", {}).get(task, {})
        for where in _shown(measured):
            if task == "segmentation":
                parts += [f"#### {where}", _scores(task, measured[where])]
            else:
                levels = [p for p in map(str, PHOTONS[task]) if p in measured[where]]
                parts += [f"#### {where}, {p} photons\n\n{_scores(task, measured[where][p])}" for p in levels]
        parts += [] if measured else ["Not measured yet."]
        parts += [
            "#### Quality against network calls",
            _calls(task, result.get("calls", {}).get(task)),
            "#### Uncertainty",
            *[
                _uncertainty(split, entry)
                for split, entry in _shown(result.get("uncertainty", {}).get(task, {})).items()
            ],
        ]
        parts += [] if result.get("uncertainty", {}).get(task) else ["Not measured yet."]
    parts += ["### Invented and missed nuclei", *hallucinations.markdown(result)]
    parts += ["### Nuclei of many microscopes", *_microscopes(result.get("scores", {}).get("microscopes", {}))]
    parts += ["### Labelled generation", *_labelled(result.get("labelled", {}))]
    for few in ("", ", few calls"):
        parts += _labelled_calls(few, result.get("calls", {}).get(f"labelled generation{few}"))
    parts += ["### Does synthetic data help?", *synthetic_help.markdown(_shown(result.get("synthetic_help", {})))]
    parts += ["### Spectrum and resolution, synthetic microscope", *spectrum.markdown(result, METHODS)]
    parts += ["### Classification", *classification.markdown(result), *unusual.markdown(result)]
    parts += ["### Translation", *translation.markdown(result)]
    parts += ["### Chosen on dev", _choices(result.get("choices", {}))]
    return "\n\n".join(parts)


def _microscopes(measured: Mapping[str, Any]) -> list[str]:
    if not measured:
        return ["Not measured yet."]
    parts, columns = [], COLUMNS["segmentation"]
    for where, entries in measured.items():
        rows = []
        for name in (name for name in METHODS if name in entries):
            cells = [interval(entries[name]["scores"][column]) for column in columns]
            title = METHODS[name].format(samples=entries[name]["settings"].get("samples"))
            rows.append([title, *cells, f"{entries[name]['seconds']:.2g}"])
        head = table(["method", *columns.values(), "s an image"], rows)
        parts.append(f"#### {where}\n\n{head}\n\n{machine(next(iter(entries.values())))}")
    return parts


def _shown(measured: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was measured on val; on dev where there is nothing else."""
    return {name: of for name, of in measured.items() if name.startswith("val")} or measured


def _scores(task: str, measured: Mapping[str, Any]) -> str:
    """A row a method, then our lead over each of the others, field by field."""
    columns = COLUMNS[task]
    shown = [name for name in METHODS if name in measured]
    rows = []
    for name in shown:
        title = METHODS[name].format(samples=measured[name]["settings"].get("samples"))
        cells = [interval(measured[name]["scores"][column]) for column in columns]
        rows.append([title, *cells, f"{measured[name]['seconds']:.2g}"])
    lines = [table(["method", *columns.values(), "s a field"], rows)]
    first = "ap" if task == "segmentation" else "psnr"
    if OURS in measured:
        our_fields, wells = _fields(measured[OURS])
        leads = []
        for name in shown:
            theirs, same = _fields(measured[name])
            if not name.startswith(OURS) and same == wells:
                lead = interval(scores.ahead(our_fields, theirs, wells)[first], sign="+")
                leads.append(f"{METHODS[name]} {lead}")
        lines.append(f"{columns[first]} of diffusion minus that of: {'; '.join(leads)}.")
    fields = measured[shown[0]]["fields"]
    wells = {row["well"] for row in fields.values()}
    lines.append(
        f"Means over {len(fields)} fields, 95 % intervals of {scores.DRAWS} bootstrap draws of {len(wells)} wells. "
        f"{machine(measured[shown[-1]])}"
    )
    return "\n\n".join(lines)


def _fields(entry: Mapping[str, Any]) -> tuple[list[scores.Row], list[str]]:
    rows = list(entry["fields"].values())
    return [{k: v for k, v in row.items() if k != "well"} for row in rows], [row["well"] for row in rows]


def _calls(task: str, entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "Not measured yet."
    names = [name for name in ("ap50", "ap", "dice", "psnr", "ssim") if name in entry["rows"][0]]
    titles = COLUMNS[task]
    rows = [
        [
            row["method"],
            *([str(row["photons"])] if row["photons"] is not None else []),
            str(row["calls"]),
            str(row["samples"]),
            *[f"{row[name]:.4g}" for name in names],
            f"{row['seconds']:.2g}",
        ]
        for row in entry["rows"]
    ]
    head = ["method", *(["photons"] if task != "segmentation" else []), "calls", "samples"]
    by_calls = table([*head, *[titles[name] for name in names], "s a crop"], rows)
    size = entry["size"]
    return (
        f"{by_calls}\n\nMiddles of {size}×{size} pixels of {len(entry['fields'])} fields of dev. Chosen: {entry['chosen']} "
        f"calls ({entry['rule']}). {machine(entry)}"
    )


def _uncertainty(split: str, entry: Mapping[str, Any]) -> str:
    parts = []
    for row in entry["rows"]:
        light = "" if row["photons"] is None else f", {row['photons']} photons"
        ece = f"; expected calibration error of the foreground's probability {row['ece']:.3f}" if "ece" in row else ""
        bins = [[f"{std:.3g}", f"{error:.3g}"] for std, error in zip(row["std"], row["error"])]
        parts.append(
            f"{split}{light}: {100 * row['coverage']:.1f} % of {row['pixels']} pixels lie between the least and the greatest "
            f"of {entry['samples']} samples ({100 * row['nominal']:.0f} % if truth and samples were alike){ece}."
        )
        parts.append(table(["predicted std, rms", "error of the mean, rms"], bins))
    return "\n\n".join([*parts, machine(entry)])


def _choices(choices: Mapping[str, Any]) -> str:
    rows = []
    for task, methods in choices.items():
        flat = (
            methods.items()
            if task in ("segmentation", "classification", "microscopes")
            else [
                (f"{name}, {photons} photons", entry)
                for photons, entries in methods.items()
                for name, entry in entries.items()
            ]
        )
        for name, entry in flat:
            values = ", ".join(f"{key} {value}" for key, value in entry["parameters"].items())
            rows.append([task, name, values, f"{entry['score']} {entry['dev']:.4g}"])
    return table(["task", "method", "parameters", "on dev"], rows) if rows else "Nothing yet."


def _labelled_calls(few: str, entry: Mapping[str, Any] | None) -> list[str]:
    if entry is None:
        return [f"Quality against network calls{few}: not measured yet."]
    names = {"ap50": "AP@0.5", "ap": "AP 0.5–0.9", "dice": "Dice", "frechet": "Fréchet", "seconds": "s a field"}
    rows = [[str(row["calls"]), *(f"{row[name]:.3g}" for name in names)] for row in entry["rows"]]
    number = len(entry["fields"])
    model = "" if not few else f"`{entry['settings']['run']}`, of which a call is told where its step ends. "
    intro = f"{model}Otsu and watershed on images of {number} masks of dev, by calls; the first of them also compiles. "
    return [intro + machine(entry), table(["calls", *names.values()], rows)]


def _labelled(measured: Mapping[str, Any]) -> list[str]:
    """What Otsu and watershed find of the given nuclei, and distances of the sets."""
    if not measured:
        return ["Not measured yet."]
    parts = []
    for where in _shown(measured):
        entry = measured[where]
        rows = [
            [f"Otsu and watershed on {name} images", *(interval(of[score]) for score in COLUMNS["segmentation"])]
            for name, of in entry["found"].items()
        ]
        parts += [f"#### {where}", table(["", *COLUMNS["segmentation"].values()], rows)]
        rows = [
            [
                name,
                f"{of['frechet']['distance']:.3g}",
                f"{of['kernel']['distance']:.3g} ± {of['kernel']['standard_error']:.2g}",
                f"{of['precision_recall']['precision']:.2f}",
                f"{of['precision_recall']['recall']:.2f}",
                f"{of['frechet']['generated']:.0f} / {of['frechet']['reference']:.0f}",
            ]
            for name, of in entry["distances"].items()
        ]
        head = ["against the real crops", "Fréchet", "kernel (KID)", "precision", "recall", "crops / reference"]
        parts += [table(head, rows), machine(entry)]
    return parts
