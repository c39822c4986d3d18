"""Tasks that can be trained: a task is a package, all with the same file names."""
