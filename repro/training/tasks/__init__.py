"""Tasks: one file per kind of data set."""
