"""Checks and measures training on a GPU, or on a CPU with a stand-in for CUDA graphs."""
