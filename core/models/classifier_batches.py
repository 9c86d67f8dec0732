"""Texts through a classifier: padded batches, and a probe of whether padding changes what the model reads.

Training and Chat use the same functions. torch is imported only when a function is called.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.models.probing import all_agree

if TYPE_CHECKING:
    import torch

# Tokens of the rows of the probe.
_LENGTHS = (5, 9, 3, 7)


def pad_texts(ids: Sequence[Sequence[int]], pad_id: int) -> dict[str, "torch.Tensor"]:
    """Return texts as "input_ids" and "attention_mask", (texts, longest), int64, padded on the right."""
    import torch

    longest = max(map(len, ids))
    return {
        "input_ids": torch.tensor([[*one, *[pad_id] * (longest - len(one))] for one in ids]),
        "attention_mask": torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids]),
    }


def class_logits(
    model: "torch.nn.Module", ids: "torch.Tensor", mask: "torch.Tensor", one_by_one: bool
) -> "torch.Tensor":
    """Return the logits of a padded batch, (texts, labels).

    Args:
        model: The classifier.
        ids: (texts, longest), padded on the right.
        mask: (texts, longest), 0 where a text is padded.
        one_by_one: Whether each text goes through the model by itself, without padding.
    """
    import torch

    if not one_by_one:
        return model(input_ids=ids, attention_mask=mask).logits
    lengths = mask.sum(dim=1).tolist()
    return torch.cat([model(input_ids=ids[row : row + 1, :length]).logits for row, length in enumerate(lengths)])


def pads_right(model: "torch.nn.Module", pad_id: int) -> bool:
    """Return whether texts that are padded on the right give the logits that each gives by itself."""
    import torch

    vocabulary = model.get_input_embeddings().weight.shape[0]
    # Any tokens will do, except the one for padding, by which some families find the end of a text.
    ids = [[(5 + 7 * at + 31 * row) % vocabulary for at in range(length)] for row, length in enumerate(_LENGTHS)]
    ids = [[token if token != pad_id else (token + 1) % vocabulary for token in row] for row in ids]
    device, was_training = model.get_input_embeddings().weight.device, model.training
    batch = {name: tensor.to(device) for name, tensor in pad_texts(ids, pad_id).items()}
    model.eval()
    try:
        with torch.no_grad():
            padded, alone = (
                class_logits(model, batch["input_ids"], batch["attention_mask"], one) for one in (False, True)
            )
            return all_agree([padded], [alone], ids, lambda rows: model(input_ids=rows.to(device)).logits)
    finally:
        model.train(was_training)
