"""Benchmarks of resmc against what one would write without it: ``python -m bench`` (see README.md beside this file)."""
