"""How good generated images are: BBBC039 samples against held-out real crops, a floor, and controls that must fail.

`python -m benchmarks.evidence.choose` chooses the segmentation on dev, once; `python -m benchmarks.evidence` measures.
Arrays of crops are (N, Y, X): one channel, grey levels (int64) or network units (float32).
"""

import json
from functools import partial
from pathlib import Path

from benchmarks.store import Store


def results(name: str, folder: Path | None = None) -> Store:
    """The store of evidence_SIZE.json or segmentation_SIZE.json."""
    return Store(name, ("scipy", "scikit-image", "tifffile"), folder=folder, dumps=partial(json.dumps, indent=1))
