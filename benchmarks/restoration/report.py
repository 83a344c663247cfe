"""What restoration.json holds, as markdown; what is not in it is said to be not measured."""

from typing import Any

from benchmarks.report import DOCS, interval, machine, table, write_sections
from benchmarks.restoration import store
from benchmarks.tasks import store as tasks

METHODS = {
    "recording": "the recording itself",
    "wiener": "Wiener",
    "richardson_lucy": "Richardson-Lucy, stopped early",
    "richardson_lucy_tv": "Richardson-Lucy with total variation",
    "diffusion": "**prior**, mean of 19 samples",
    "diffusion_one_sample": "prior, one sample",
}
COLUMNS = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "resolution": "FRC resolution (pixels)",
    "coverage": "coverage (nominal 0.90)",
    "misfit": "misfit",
}
VOLUMES = {
    "nearest": "each slice repeated",
    "linear": "linear interpolation",
    "cubic": "cubic interpolation",
}
DIRECT = {
    "recording": "the recording itself",
    "direct_1_call": "**prior, `--direct`**, one call",
    "direct_4_samples": "prior, `--direct`, mean of 4 samples of 8 calls of order 2",
    "posterior_4_samples": "prior, posterior sampling, mean of 4 samples of 20 calls",
    "nlm": "non-local means",
    "tv": "total variation",
    "diffusion": "diffusion trained on pairs",
    "regression": "regression trained on pairs",
}
KINDS = {"nuclei": "BBBC039, blurred and recorded", "synthetic": "Synthetic microscope, known truth"}


def write() -> None:
    """Write the section on restoration of docs/evidence.md."""
    write_sections(DOCS / "evidence.md", {"restoration": markdown()})


def markdown() -> str:
    """The whole section."""
    result, parts = store.read(), []
    for kind, title in KINDS.items():
        for split in ("val", "dev"):
            if entry := result.get("scores", {}).get(kind, {}).get(split):
                parts += [_scores(title, split, where, rows, entry) for where, rows in entry["scores"].items()]
                parts.append(machine(entry))
                break
        else:
            parts.append(f"#### {title}\n\nNot measured yet.")
    parts += [_volumes(result.get("volumes", {})), _direct(result.get("direct", {})), *_large(result.get("large", {}))]
    parts += ["#### Time", *_speed(result.get("speed", {}))]
    return "\n\n".join(parts)


def _scores(title: str, split: str, where: str, rows: dict[str, Any], entry: dict[str, Any]) -> str:
    columns = {c: name for c, name in COLUMNS.items() if any(c in row for row in rows.values())}
    lines = [[METHODS[name], *(interval(row[c]) if c in row else "" for c in columns)] for name, row in rows.items()]
    head = f"#### {title}: {where} ({split}, {len(entry['fields'])} fields)"
    return f"{head}\n\n{table(['method', *columns.values()], lines)}"


def _volumes(volumes: dict[str, Any]) -> str:
    title = "Equal voxels from thick slices, known truth"
    if "val" not in volumes:
        return f"#### {title}\n\nNot measured yet."
    entry = volumes["val"]
    of = {**METHODS, **VOLUMES, "diffusion": f"**prior**, mean of {entry['samples']} samples"}
    nominal = (entry["samples"] - 1) / (entry["samples"] + 1)
    columns = {
        "psnr": "PSNR (dB)",
        "ssim": "SSIM along z",
        "coverage": f"coverage (nominal {nominal:.2f})",
        "misfit": "misfit",
    }
    parts = []
    for where, rows in entry["scores"].items():
        lines = [
            [of[name], *(f"{row[c]['mean']:.3f}" if c in row else "" for c in columns)] for name, row in rows.items()
        ]
        parts += [
            f"#### {title}: {where} (val, {entry['volumes']} volumes)",
            table(["method", *columns.values()], lines),
        ]
    return "\n\n".join([*parts, machine(entry)])


def _direct(direct: dict[str, Any]) -> str:
    title = "Denoising without pairs"
    if "val" not in direct:
        return f"#### {title}\n\nNot measured yet."
    entry = direct["val"]
    beside = tasks.get(
        ["scores", "denoising", f"val, {len(entry['fields'])} fields", str(entry["photons"])], "measure tasks"
    )
    rows = {**entry["scores"], **{name: beside[name]["scores"] for name in ("nlm", "tv", "diffusion", "regression")}}
    columns = {"psnr": "PSNR (dB)", "ssim": "SSIM", "coverage": "coverage (nominal 0.60)"}
    lines = [[DIRECT[name], *(interval(row[c]) if c in row else "" for c in columns)] for name, row in rows.items()]
    head = f"#### {title}: {entry['photons']} photons (val, {len(entry['fields'])} fields)"
    return f"{head}\n\n{table(['method', *columns.values()], lines)}\n\n{machine(entry)}"


def _large(large: dict[str, Any]) -> list[str]:
    if not large:
        return ["#### Large images\n\nNot measured yet."]
    head = [
        "pixels",
        "samples",
        "calls",
        "minutes",
        "memory (GB)",
        "misfit",
        "PSNR: recording",
        "Richardson-Lucy with TV",
        "prior",
    ]
    lines = []
    for size, row in large.items():
        numbers = [
            str(row["samples"]),
            str(row["calls"]),
            f"{row['seconds'] / 60:.0f}",
            f"{row['peak_resident_gb']:.1f}",
        ]
        names = ("recording", "richardson_lucy_tv", "diffusion")
        lines.append([size, *numbers, f"{row['misfit']:.3f}", *(f"{row['psnr'][name]:.2f}" for name in names)])
    return ["#### Large images, by the command", table(head, lines), *(machine(row) for row in large.values())]


def _speed(speed: dict[str, Any]) -> list[str]:
    parts = []
    for platform in ("cpu", "gpu"):
        if platform not in speed:
            parts.append(f"{platform.upper()}: not measured yet.")
            continue
        lines = [
            [
                row["method"] + (", `remat=cheap`" if row["remat"] == "cheap" else ""),
                str(row["side"]),
                str(row["windows"]),
                str(row["windows_a_call"]),
                str(row["samples"]),
                f"{row['seconds']:.1f}",
                f"{row['ratio']:.2f}",
                machine(row),
            ]
            for row in speed[platform].values()
        ]
        head = [
            "method",
            "side",
            "windows",
            "at once",
            "samples",
            "seconds",
            "over windows × calls × one call",
            "measured",
        ]
        parts.append(table(head, lines))
    return parts
