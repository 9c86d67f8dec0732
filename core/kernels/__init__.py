"""Kernels that training and chat share, each with a PyTorch reference; and the layout of packed 4-bit weights.

`attention` and `elementwise` serve training's fused block and the chat's prompt reader. `nf4` describes the layout
of 4-bit weights, and lists the kernels that read it. Only training calls the functions of `nf4` and `nf4_triton`.
"""
