"""Decoding on a GPU: one graph a step over static caches, with Triton kernels of our own.

`choice` says which models and adapters it serves; `decoder.CudaDecoder` has the interface of `core.chat.decoder`.
"""
