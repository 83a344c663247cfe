"""Sets that are made once and read fast."""
