"""Runnable experiments: one file a run, by task."""
