"""Restoration by a prior beside classical methods: images whose blur and noise are known."""
