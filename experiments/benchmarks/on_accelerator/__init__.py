"""Tests, tuner and benchmark on an accelerator, in one command."""
