"""Whole networks: size, time of a step, and steps compiled for TPU pods."""
