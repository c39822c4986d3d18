"""Benchmarks: timings are measured here, never in tests."""
