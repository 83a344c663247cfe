"""Bulk runs that are killed, split over processes, or out of space; their bytes beside those of an undisturbed one."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np

import jaxdiff as jd
from benchmarks.bulk.rate import INFO, NORMALISER
from jaxdiff.data.config import Synthetic
from jaxdiff.durable import write_json
from jaxdiff.training.checkpoint import Checkpoints
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.run_folder import describe
from jaxdiff.training.state import TrainState

ROOT = Path(__file__).parents[2]


def random_run(folder: Path) -> Path:
    """A run folder of a small UNet with random parameters."""
    network = jd.UNet(width=16, multipliers=(1, 2), blocks=1, attention=(False, True), head_size=16, num_classes=4)
    config = TrainConfig(name="run", data=Synthetic(), patch=(32, 32), network=network, steps=1)
    folder.mkdir()
    write_json(folder / "run.json", describe(config, INFO, NORMALISER))
    example = {"image": np.zeros((1, 32, 32, 1)), "cond": {"label": np.zeros(1, np.int32)}}
    shapes = TrainState.shapes(jax.random.key(0), network, config.optimizer.build(), example)
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda leaf: rng.normal(0, 0.05, leaf.shape).astype(leaf.dtype), shapes)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(state, {}, wait=True)
    return folder


def start(run: Path, out: Path, format: str, *more: str, devices: int = 1) -> subprocess.Popen:
    """The command, on forced CPU devices: 600 images in shards of 16."""
    command = f"{sys.executable} sample.py generate --run {run} --out {out} --num 600 --calls 10 --solver ddpm"
    command += f" --batch 4 --shard 16 --format {format}"
    env = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(run.parent / "compiled"),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [*command.split(), *more], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def undisturbed(run: Path, folder: Path, format: str) -> dict[str, bytes]:
    """The files of a run from start to end."""
    out = folder / f"undisturbed_{format}"
    printed = start(run, out, format).communicate()[0]
    print(printed.splitlines()[-1], flush=True)
    return data_files(out)


def data_files(out: Path) -> dict[str, bytes]:
    """All that holds or describes images."""
    files = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    records = ("manifest.json", "shards/", "sections/", ".lock")
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(records)}


def kills(number: int, run: Path, folder: Path, expected: dict[str, bytes], format: str, rng: random.Random) -> dict:
    """Kills in the start, in sampling and in writing, then the end."""
    out, rows, redone = folder / f"killed_{format}", [], 0
    while len(rows) < number:
        before = finished(out)
        child = start(run, out, format)
        more, began = rng.choice([0, 1, 1, 2, 3]), time.time()
        while more and len(finished(out)) < len(before) + more and child.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.4) if more else rng.uniform(0, 6))
        child.send_signal(signal.SIGKILL)
        if child.wait() != -signal.SIGKILL:
            sys.exit(f"a run ended by itself: {child.communicate()[0]}")
        after = finished(out)
        redone += sum(after.get(name) != at for name, at in before.items())
        left = [path.name for path in out.rglob("*") if "partial" in str(path.relative_to(out)) and path.is_file()]
        rows.append({"seconds": round(time.time() - began, 2), "finished_shards": len(after), "half_files": len(left)})
        print(f"{format}: kill {len(rows)}: {rows[-1]}", flush=True)
    child = start(run, out, format)
    printed = child.communicate()[0]
    manifest = json.loads((out / "manifest.json").read_text())
    return {
        "format": format,
        "kills": rows,
        "shards_redone_or_lost": redone,
        "exit_status": child.returncode,
        "complete": manifest["complete"],
        "images": manifest["totals"]["images"],
        "same_bytes": data_files(out) == expected and redone == 0,
        "said": printed.splitlines()[-1].replace(str(folder), "…"),
    }


def finished(out: Path) -> dict[str, int]:
    """Records of shards, and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in (out / "shards").glob("?????.json")}


def processes(run: Path, folder: Path, expected: dict[str, bytes]) -> list[dict]:
    """One of four devices; two of four by jax.distributed; the same two, the second killed, and one continuing alone."""
    rows = []
    for number, killed in ((1, False), (2, False), (2, True)):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        out, began = folder / f"processes_{number}_{killed}", time.time()
        joined = ("--distributed", "--coordinator", address, "--num-processes", str(number))
        more = [(*joined, "--process-id", str(i)) if number > 1 else () for i in range(number)]
        children = [start(run, out, "zarr", *options, devices=4) for options in more]
        if killed:
            while "00003.json" not in finished(out) and children[1].poll() is None:
                time.sleep(0.01)
            children[1].send_signal(signal.SIGKILL)
        printed = [child.communicate()[0] for child in children]
        row = {"processes": number, "devices_each": 4, "exit_status": [child.returncode for child in children]}
        if killed:
            row["shards_after_the_kill"] = len(finished(out))
            alone = start(run, out, "zarr")
            printed = [printed[0], alone.communicate()[0]]
            row["exit_status_alone"] = alone.returncode
        row |= {"same_bytes": data_files(out) == expected, "seconds": round(time.time() - began, 1)}
        row["said"] = [text.splitlines()[-1].replace(str(folder), "…") for text in printed]
        rows.append(row)
        print(row, flush=True)
    return rows


def full_disk(run: Path, folder: Path, expected: dict[str, bytes]) -> dict:
    """A file system that holds half of the images, then one that holds all."""
    place = folder / "small"
    place.mkdir()
    size = sum(map(len, expected.values()))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size // 2 // 4096 * 4096}", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return {"measured": False, "why": f"no file system may be mounted here ({error})", "same_bytes": True}
    try:
        child = start(run, place / "out", "zarr")
        printed, stopped = child.communicate()[0], len(finished(place / "out"))
        subprocess.run(["mount", "-o", f"remount,size={4 * size}", str(place)], check=True)
        again = start(run, place / "out", "zarr")
        again.communicate()
        row = {
            "measured": True,
            "exit_status": child.returncode,
            "said": printed.splitlines()[-1].replace(str(folder), "…"),
            "shards_finished_then": stopped,
            "exit_status_after": again.returncode,
            "same_bytes": data_files(place / "out") == expected,
        }
        print(row, flush=True)
        return row
    finally:
        subprocess.run(["umount", str(place)], check=False)
