"""Kernels that only training needs: a decoder block whose forward and backward pass are written out."""
