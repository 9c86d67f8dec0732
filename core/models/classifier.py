"""Base models with a classification head: which models can have one, its modules, and loading.

The head's weights are new and are trained whole, beside the adapter. Some families have more layers than one between
the base model and the labels: DistilBERT's `pre_classifier`, DeBERTa's `pooler`, and BERT's own `pooler`, which is
missing in the files of many checkpoints. All of these count as the head. torch is imported only when a function is
called.
"""

from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.models.catalogue import Model
from core.models.loading import LoadedBase, Precision, check_missing, read_config, read_weights
from core.models.tokenizer import encode, padding_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_POOLER = "pooler"


def unclassifiable_reason(config: Any) -> str | None:
    """Return why no classifier can be trained from a model, as the rest of a sentence; None if one can.

    Args:
        config: The model's `PretrainedConfig`.
    """
    from transformers import AutoModelForSequenceClassification

    if getattr(config, "is_encoder_decoder", False):
        return f"{config.model_type} is an encoder-decoder model"
    if type(config) not in AutoModelForSequenceClassification._model_mapping:
        return f"transformers has no classifier for {config.model_type}"
    return None


def build_empty(config: Any, labels: int) -> "PreTrainedModel":
    """Return a classifier without weights, on the meta device.

    Args:
        config: The model's `PretrainedConfig`.
        labels: Number of labels.
    """
    import copy

    import torch
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(config)
    config.num_labels = labels
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config, dtype=torch.float32, trust_remote_code=False)


def head_modules(model: "PreTrainedModel") -> list[str]:
    """Return the full names of the modules of a classifier's head.

    Args:
        model: A model for sequence classification, without an adapter.
    """
    base = model.base_model_prefix
    found = [name for name, child in model.named_children() if name != base and any(True for _ in child.parameters())]
    pooler = getattr(getattr(model, base), _POOLER, None)
    return [*found, f"{base}.{_POOLER}"] if pooler is not None else found


def load_classifier(model: Model, precision: Precision, attention: str, labels: int) -> LoadedBase:
    """Load a base model with a new classification head; the head's weights are random numbers.

    Args:
        model: The model.
        precision: How its weights are quantized and computed with; the head is not quantized.
        attention: As for `core.models.loading.load_base`.
        labels: Number of labels.

    Raises:
        StudioError: There is no such model, its files are not a model, or it cannot have such a head.
    """
    from transformers import AutoModelForSequenceClassification

    config = read_config(model)
    if why := unclassifiable_reason(config):
        raise StudioError(f"No classifier can be trained from {model.name}: {why}. Choose another model.")
    head = head_modules(build_empty(config, labels))
    base, missing = read_weights(
        model, precision, attention, AutoModelForSequenceClassification, labels, unquantized=head
    )
    check_missing(model, [name for name in missing if not any(name.startswith(f"{part}.") for part in head)])
    # Models that read the last token of a text find it by the padding after it.
    base.model.config.pad_token_id = padding_id(base.tokenizer, base.model.get_input_embeddings().weight.shape[0])
    return base


def encode_text(tokenizer: "PreTrainedTokenizerBase", text: str, max_length: int) -> tuple[list[int], bool]:
    """Return the tokens of a text as a classifier reads it, and whether its end was left out.

    They include the special tokens that the tokenizer adds, such as BERT's [CLS] and [SEP].

    Args:
        tokenizer: The tokenizer.
        text: The text.
        max_length: Maximum number of tokens.

    Raises:
        ValueError: The tokenizer fails on the text.
    """
    options = {"add_special_tokens": True, "verbose": False}
    ids = encode(tokenizer, text, **options)["input_ids"]
    if len(ids) <= max_length:
        return ids, False
    return encode(tokenizer, text, truncation=True, max_length=max_length, **options)["input_ids"], True
