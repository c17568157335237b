"""Tasks: what is trained on and tested, with their losses, metrics and batches."""
