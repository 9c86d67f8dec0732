"""Recognition of a plain output layer, whose logits are the last hidden states times a frozen weight.

With such a head, logits are computed only for the tokens that carry loss (core/train/loss.py).
"""

import contextlib
from collections.abc import Callable

import torch
from peft import PeftModel

from core.models.probing import are_close

# Settings of some architectures that change logits after the head: their own forward pass must then compute logits.
_LOGIT_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling")


def find_plain_head(
    model: PeftModel, dtype_context: Callable[[], contextlib.AbstractContextManager]
) -> torch.Tensor | None:
    """Return the frozen weight of the output layer, (vocabulary, hidden), if logits are hidden states times it.

    Args:
        model: The model with its adapter.
        dtype_context: Makes the context in which products are computed in the run's compute dtype.
    """
    base = model.get_base_model()
    head = base.get_output_embeddings()
    text_config = base.config.get_text_config()
    changed = any(getattr(text_config, name, None) not in (None, 1.0) for name in _LOGIT_CHANGES)
    if changed or type(head) is not torch.nn.Linear or head.bias is not None or head.weight.requires_grad:
        return None
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), dtype_context():
            return head.weight if _is_plain(base, head) else None
    finally:
        model.train(was_training)


def _is_plain(base: torch.nn.Module, head: torch.nn.Linear) -> bool:
    """Return whether a short text's logits are the decoder's last hidden states times the head's weight."""
    ids = torch.arange(6, device=head.weight.device)[None] % base.get_input_embeddings().weight.shape[0]  # (1, 6)
    out = base.get_decoder()(input_ids=ids, use_cache=False)
    # Some families have no decoder of their own, and return logits here.
    hidden = getattr(out, "last_hidden_state", None)  # (1, 6, hidden)
    return hidden is not None and are_close(head(hidden), base(input_ids=ids, use_cache=False).logits)
