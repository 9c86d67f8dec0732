"""CUDA decoder: one CUDA graph per decode step over static buffers, with the studio's own Triton kernels.

`support` says which models and adapters it serves. `runtime` holds what all decoders of a model share, `decoder` has
the interface of `core.chat.decoder`, `prefill` reads prompts, `decode_graph` launches and captures a step. Kernels:

    part of a decode step                kernel                        module
    norm, add residual, SwiGLU           _norm, _swiglu                elementwise
    products with 4-bit weights + LoRA   _gemv (1 to 8 rows),          nf4_gemv, nf4_block, nf4_ptx, lora, tensor_core
                                         _lora_down and _product       quantized_matmul
                                         (more rows)
    weights for products of torch        _unpack                       quantized_matmul
    rotary embedding, cache, attention   _attend                       attention
    next token                           _sample                       sample_kernel, called by batch_sampler

Words of the kernels, one for each way to divide work:

    part     the sum over one share of the inputs; the next kernel adds up the parts of a product x Wᵀ
    piece    the same for x Aᵀ; its reader adds up the pieces
    split    a share of a sequence's tokens, in attention
    group    projections of a block that share an input, merged: qkv, o, gate_up, down (weights)
             An input group (256 inputs, nf4_gemv) and a lane group (4 threads, tensor_core) are always
             written with their full names.
"""
