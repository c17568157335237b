"""Tasks: one file per kind of dataset."""
