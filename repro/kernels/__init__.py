"""Triton kernels for narrow networks on a GPU: they compute what the modules compute, in fewer and faster launches."""
