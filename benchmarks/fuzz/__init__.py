"""Damaged files: what every reader makes of them."""
