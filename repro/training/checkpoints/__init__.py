"""Checkpoints: their structure, how they are written and read, and the history of a run in them."""
