"""The speed of training on this machine, compared with a baseline that is measured in the same run."""

WINDOW_SECONDS = 2.0
"""Shortest time of a window if the user names none."""
