"""Runnable experiments, by task: one file for each run."""
