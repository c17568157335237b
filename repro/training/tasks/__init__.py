"""What a network is trained on: one file per kind of task."""
