"""Checks and measures training on a GPU; on a CPU with a stand-in for CUDA graphs."""
