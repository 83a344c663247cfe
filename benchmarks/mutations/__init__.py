"""Solvers of ours, each spoiled in one place, and which of them `jd.check_solver` passes."""
