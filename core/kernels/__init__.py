"""Kernels that training and chat share, each with a PyTorch reference; and the layout of packed 4-bit weights.

`attention` and `elementwise` serve training's fused block and the chat's prompt reader. `nf4` describes a layout that
both read, each by kernels of its own (it lists them); its function, and that of `nf4_triton`, are called by training
alone.
"""
