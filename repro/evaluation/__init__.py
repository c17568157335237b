"""Evaluation of a run, a checkpoint, or a network with published weights."""
