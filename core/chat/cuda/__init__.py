"""CUDA decoder: one CUDA graph per decode step over static buffers, with the studio's own Triton kernels.

`support` says which models and adapters it serves. `runtime` holds what all decoders of a model share, `decoder` has
the interface of `core.chat.decoder`, `prefill` reads prompts, `decode_graph` launches and captures a step. Kernels:

    part of a decode step                kernel                        module
    norm, add residual, SwiGLU           _norm, _swiglu                elementwise
    products with 4-bit weights + LoRA   _gemv (1 to 8 rows),          nf4_gemv, nf4_block, nf4_ptx, lora, tensor_core
                                         _lora_hidden and _product     quantized_matmul
                                         (more rows)
    weights for products of torch        _unpack                       quantized_matmul
    rotary embedding, cache, attention   _attend                       attention
    next token                           _sample                       sample_kernel, called by batch_sampler

Words of the kernels, one for each way to divide work:

    part         the sum over one share of the inputs; the next kernel adds up the parts of a product x Wᵀ
    piece        the same for x Aᵀ; its reader adds up the pieces
    split        a share of a sequence's tokens, in attention
    tile         what is multiplied at once: 16 outputs or ranks (nf4_gemv, lora) or 64 outputs (quantized_matmul); in
                 attention, cached tokens
    team         the warps of a program that have the same share of the inputs, one warp per tile (nf4_gemv); the
                 program adds up the sums of its teams
    group        projections of a transformer block that share an input, merged: qkv, o, gate_up, down (weights)
    input group  256 inputs that a warp reads at once (nf4_gemv)
    lane group   4 threads of a warp with the same outputs or rank (tensor_core)
    upper, lower the two nibbles of a byte (quantized_matmul), the two bytes of a 16-bit code (nf4_ptx), or the two
                 outputs or ranks of a thread, 8 apart (tensor_core, nf4_gemv, lora)
    block        64 weights of an output, which share a scale (core/kernels/nf4.py); else a transformer block

LoRA's x Aᵀ is `hidden` in a product and its kernels, and `lora_hidden` elsewhere.
"""
