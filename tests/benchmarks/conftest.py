"""The benchmarks are run from the repository's root and are in no wheel: their folder is put on the path here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
