"""What can be learned: a package for each task, and what all tasks share."""
