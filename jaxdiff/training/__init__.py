"""Training: loss and weightings, state and step, average, checkpoints, and the loop that drives them."""
