"""The training step's own kernels: a decoder block in one piece, its backward pass written out."""
