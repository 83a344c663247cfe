"""What restoration.json holds, as markdown; what is not in it is said to be not measured."""

from typing import Any

from benchmarks.restoration import store
from benchmarks.tasks.tables import interval, machine, table

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
KINDS = {"nuclei": "BBBC039, blurred and recorded", "synthetic": "Synthetic microscope, known truth"}


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
    parts += ["#### Time", *_speed(result.get("speed", {}))]
    return "\n\n".join(parts)


def _scores(title: str, split: str, where: str, rows: dict[str, Any], entry: dict[str, Any]) -> str:
    columns = {c: name for c, name in COLUMNS.items() if any(c in row for row in rows.values())}
    lines = [[METHODS[name], *(interval(row[c]) if c in row else "" for c in columns)] for name, row in rows.items()]
    head = f"#### {title}: {where} ({split}, {len(entry['fields'])} fields)"
    return f"{head}\n\n{table(['method', *columns.values()], lines)}"


def _speed(speed: dict[str, Any]) -> list[str]:
    parts = []
    for platform in ("cpu", "gpu"):
        if platform not in speed:
            parts.append(f"{platform.upper()}: not measured yet.")
            continue
        entry = speed[platform]
        lines = [
            [
                name.split("_")[0],
                str(row["side"]),
                str(row["windows"]),
                str(row.get("samples", 1)),
                f"{row['seconds']:.1f}",
                f"{row['ratio']:.2f}",
            ]
            for name, row in entry.items()
            if isinstance(row, dict) and "ratio" in row
        ]
        parts.append(table(["method", "side", "windows", "samples", "seconds", "over its network calls"], lines))
        parts.append(machine(entry))
    return parts
