"""Checks of a device: whether training on it is right in every variant, and how long a step takes."""
