"""Runs in memory: networks, optimizers, and the step that updates them."""
