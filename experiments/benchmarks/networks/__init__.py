"""Whole networks: size, time of a step, and what compiles for pods."""
