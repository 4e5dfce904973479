"""Benches: how much leaks, and how fast. Run as ``python -m tests.bench.leak`` from the project's root."""
