"""Restoration by a prior beside classical methods: images whose blur and noise are known."""

from benchmarks.store import Store

store = Store("restoration", ("scipy", "scikit-image", "tifffile"), {"format": 1})
"""What was chosen and measured; val is written once."""
