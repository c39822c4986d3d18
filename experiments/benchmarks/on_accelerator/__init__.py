"""Everything that needs an accelerator, in one go: tests, tuner, benchmark."""
