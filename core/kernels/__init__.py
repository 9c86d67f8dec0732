"""Kernels that training and chat share, each with a PyTorch reference for machines without Triton."""
