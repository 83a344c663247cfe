"""The demonstration of training: from nothing to new microscope images in a few minutes on two CPU cores."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from jaxdiff.config import override
from jaxdiff.data.config import Synthetic
from jaxdiff.lock import numbered
from jaxdiff.nn import UNet
from jaxdiff.training.cadence import Every
from jaxdiff.training.config import TrainConfig
from jaxdiff.training.optimizer import AdamW

config = TrainConfig(
    name="demo",
    data=Synthetic(num=4096),
    patch=(32, 32),
    network=UNet(width=64, multipliers=(1, 2), blocks=1, attention=(False, True), patch_size=2, num_classes=4),
    optimizer=AdamW(learning_rate=1e-3, warmup=50),
    batch_size=16,
    minutes=3.8,
    preview=Every(minutes=1),
    validation=Every(minutes=1),
)
"""Trains by wall clock, so that a slow machine finishes too."""


def main(args: list[str], prog: str = "jaxdiff demo-train") -> int:
    """Trains `config` (a finished or interrupted demo goes on), samples 64 images, and draws them beside real ones."""
    from jaxdiff.commands.generate import Generate, generate
    from jaxdiff.training.loop import train

    run = override(config, args, prog)
    folder = train(run)
    out = numbered(Path("samples") / run.name)
    status = generate(Generate(run=folder, num=64, out=out))
    picture = _beside(folder / "samples" / "real.png", out / "sheet.png", out / "demo.png")
    print(f"Look at {picture}: synthetic microscope images it learned from, and 64 new ones.")
    return status


def _beside(left: Path, right: Path, path: Path) -> Path:
    """Two sheets side by side, twice as large, with a title each."""
    sheets = [ImageOps.scale(Image.open(sheet).convert("L"), 2, Image.Resampling.NEAREST) for sheet in (left, right)]
    height = max(sheet.height for sheet in sheets)
    canvas = Image.new("L", (sum(sheet.width for sheet in sheets) + 12, height + 16))
    draw, x = ImageDraw.Draw(canvas), 0
    for sheet, title in zip(sheets, ("microscope (held out)", "new")):
        canvas.paste(sheet, (x, 16))
        draw.text((x + 2, 2), title, fill=255)
        x += sheet.width + 12
    canvas.save(path)
    return path
