"""What the first minutes on a GPU need, and a stand-in for CUDA graphs on a CPU."""
