"""The test error of a run, a checkpoint, or a network with published weights."""
