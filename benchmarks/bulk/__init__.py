"""Bulk generation measured: `python -m benchmarks.bulk`."""
