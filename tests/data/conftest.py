"""Small real files for the data tests, and the real BBBC039 where it is."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile


@pytest.fixture
def images(tmp_path) -> Callable[..., Path]:
    """Write `num` noisy uint16 TIFFs of a shape into a folder; further arguments go to tifffile."""

    def write(name="images", num=4, shape=(40, 48), dtype="uint16", high=4000, seed=0, **options) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        for i in range(num):
            tifffile.imwrite(folder / f"field_{i:02}.tif", rng.integers(0, high, shape).astype(dtype), **options)
        return folder

    return write


@pytest.fixture(scope="session")
def bbbc039() -> Path:
    """{train,dev,val}/{images,masks}: from JAXDIFF_BBBC039, or in shared/data beside the checkout."""
    beside = Path(__file__).parents[2].parent / "shared" / "data" / "bbbc039"
    folder = Path(os.environ.get("JAXDIFF_BBBC039", beside))
    if not (folder / "train" / "images").is_dir():
        pytest.skip(f"BBBC039 is not in {folder}; set JAXDIFF_BBBC039 to a folder with train/images")
    return folder
