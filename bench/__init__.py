"""Benchmarks: what the platform costs, each side by side with what it is measured against, in one run.

`run.py` starts them. Every benchmark starts a platform of its own in a temporary home, and takes it away again.
"""
