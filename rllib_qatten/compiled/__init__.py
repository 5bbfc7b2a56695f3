"""Functions on arrays, compiled by numba: what an update spends its time on. No Ray, no torch."""
