"""What an exported sampler says of itself: the README in it, with the lines that call it."""

from typing import Any

README = """# {name}: a sampler of synthetic images

Draws images of {shape} ({axes}, float32, {units}) with {calls} network calls each. A model made them, no microscope.
`meta.json` holds pixel size, channels, classes, solver, grid and versions.

Needs Python with jax and flatbuffers (`pip install jax flatbuffers`), on {platforms}. jax {jax} wrote it; later ones read
it for six months at least. Nothing of this file is executed but the program `sampler.stablehlo`, by XLA.

```python
import jax
import numpy as np
from jax import export

file = np.load("{name}")
weights = jax.device_put({{name: file[name] for name in file.files if name.startswith("weights/")}})
sampler = jax.jit(export.deserialize(bytearray(file["sampler.stablehlo"])).call)
images = np.asarray(sampler(weights, {call}))
```

seed: uint32. index: int32 (b,), which images: image i depends on the seed and on i alone. Each number b of images is
compiled once, so ask for the same b again.
{notes}"""

NOTES = {
    "label": "label: int32 (b,), the class, 0 to {last}{names}; -1 for none.\n",
    "vector": "vector: float32; its last entry is 1, or all of it 0 for none.\n",
    "image": "image: float32; its last channel is 1, or all of it 0 for none.\n",
}


def readme(name: str, meta: dict[str, Any]) -> str:
    """README.md of the file `name`, from its meta.json."""
    images, arguments = meta["images"], meta["arguments"]
    cond = arguments.get("cond", {})
    names = ", ".join(f"{i} {label}" for i, label in enumerate(images["class_names"]))
    words = {"last": meta["network"].get("num_classes", 0) - 1, "names": f" ({names})" if names else ""}
    call = "np.uint32(0), np.arange(8, dtype=np.int32)"
    if cond:
        call += ", {" + ", ".join(f'"{kind}": {_zeros(**value)}' for kind, value in cond.items()) + "}"
    return README.format(
        name=name,
        shape=" x ".join(map(str, images["shape"])),
        axes=images["axes"],
        units="the units of the data" if meta["result"]["units"] == "data" else "units of the network",
        calls=meta["calls"],
        jax=meta["versions"]["jax"],
        platforms=", ".join(meta["platforms"]),
        call=call,
        notes="".join(NOTES[kind].format(**words) for kind in cond),
    )


def _zeros(dtype: str, shape: list[int | str]) -> str:
    return f"np.zeros({tuple(8 if size == 'b' else size for size in shape)}, np.{dtype})"
