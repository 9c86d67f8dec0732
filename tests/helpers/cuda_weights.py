"""Linear layers packed in 4 bits on a GPU, and the distance between two tensors."""

from bitsandbytes.nn import Linear4bit, Params4bit

# Kinds of weights that the CUDA decoder supports; "once" is 4 bits without double quantization.
KINDS = ["nf4", "fp4", "nf4 once", "bf16"]


def pack_linear(module, kind):
    """Return a linear layer in 4 bits, with double quantization unless `kind` says once."""
    made = Linear4bit(module.in_features, module.out_features, bias=False, compute_dtype=module.weight.dtype)
    made.weight = Params4bit(
        module.weight.data, requires_grad=False, quant_type=kind[:3], compress_statistics="once" not in kind
    ).to("cuda")
    return made


def relative_distance(found, expected):
    """Return the length of the difference, as a share of the expected tensor's length."""
    return float((found.float() - expected.float()).norm() / expected.float().norm())
