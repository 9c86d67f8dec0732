"""Kernels that training and chat share, each with a PyTorch reference; and the layout of packed 4-bit weights.

Training's fused block and the chat's prefill (core/chat/cuda/prefill.py) call `attention` and `elementwise`. Both also
read 4-bit weights. The docstring of `nf4` describes their layout and lists all kernels that read it. Only training
calls the functions of `nf4` and `nf4_triton`: the chat's kernels decode the codes themselves.
"""
