"""Segmentation and denoising of BBBC039 beside what its users would take otherwise: `python -m benchmarks.tasks`.

Images and masks are (Y, X). Everything is chosen on dev; val is looked at once, by `evaluate --split val`.
"""

from benchmarks.store import Store

store = Store("tasks", ("scipy", "scikit-image", "tifffile"), {"format": 1})
"""What was chosen and measured; val is written once."""
