"""Check whether the CUDA decoder takes a model on this machine, and why not, and whether it takes an adapter.

Which architectures and weights it is written for is declared in core/models/fast_paths.py.
"""

import importlib.util

import torch

from core.chat.adapters import Adapter
from core.models import fast_paths

_MIN_COMPUTE_CAPABILITY = (8, 0)


def unsupported_reason(model: torch.nn.Module) -> str | None:
    """Return why a model is not decoded by CUDA graphs, as the rest of a sentence; None if it is."""
    if model.device.type != "cuda":
        return "there is no GPU"
    if torch.cuda.get_device_capability(model.device) < _MIN_COMPUTE_CAPABILITY:
        return "this GPU is older than Ampere"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    return fast_paths.undecoded_reason(model)


def is_plain_lora(adapter: Adapter, blocks: int) -> bool:
    """Return whether an adapter is LoRA of the blocks' projections and nothing else.

    Args:
        adapter: The adapter.
        blocks: Number of the model's blocks.
    """
    known = {name for number in range(blocks) for name in fast_paths.projection_names(number)}
    return not adapter.special and not set(adapter.lora) - known
