"""Runs on disk, from their experiments to their records."""
