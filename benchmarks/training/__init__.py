"""A training step beside PyTorch's, the loop beside its bare step, and where the time goes."""
