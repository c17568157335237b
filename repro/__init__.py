"""Reproduce the published tables of CNN papers, and say honestly whether they were reproduced."""

__version__ = "0.1.0"
