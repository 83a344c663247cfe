"""Error against network calls and wall time of every solver on every grid, beside diffusers' schedulers: docs/solvers.md."""
