"""Segmentation and denoising of BBBC039 beside what its users would take otherwise: `python -m benchmarks.tasks`.

Images and masks are (Y, X). Everything is chosen on dev; val is looked at once, by `evaluate --split val`.
"""
