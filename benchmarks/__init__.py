"""Benchmarks. Each prints JSON lines and appends them to `benchmarks/results/`; floors are measured in the same run."""
