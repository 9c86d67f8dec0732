"""Kernels that training and chat share, each with a PyTorch reference; and the layout of packed 4-bit weights.

Training's fused block and the chat's prefill (core/chat/cuda/prefill.py) call `attention` and `elementwise`. Of `nf4`,
they share the layout of 4-bit weights, which its docstring describes together with all kernels that read it: training
calls the functions of `nf4` and `nf4_triton`, and the chat's kernels contain lines of their own.
"""
