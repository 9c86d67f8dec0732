"""Sizes of a model, read from its transformers config: layers, heads, head width, and the widths of its matrices.

This is the only place of core that reads a config's `head_dim`, which many configs lack or leave empty. The memory
forecast, the fused training blocks, the CUDA decoder and the key-value cache all take their sizes from here. Configs
with several parts, as those of multimodal models, are read through their text config. Imports no torch.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a model of Llama's architecture, as counts of numbers, not bytes.

    Attributes:
        layers: Transformer blocks.
        hidden: Width of the residual stream.
        intermediate: Width of the MLP.
        heads: Query heads.
        key_heads: Key-value heads; each serves heads / key_heads query heads.
        head_width: Width of one head.
        vocabulary: Rows of the embedding matrix.
        is_tied: Whether the output layer shares the embedding matrix.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_heads: int
    head_width: int
    vocabulary: int
    is_tied: bool

    @classmethod
    def from_config(cls, config: Any) -> "ModelShape":
        """Return the sizes of a model.

        Args:
            config: The model's `PretrainedConfig`.

        Raises:
            ValueError: The config lacks a size that a Llama has.
        """
        text = config.get_text_config()
        try:
            return cls(
                layers=text.num_hidden_layers,
                hidden=text.hidden_size,
                intermediate=text.intermediate_size,
                heads=text.num_attention_heads,
                key_heads=getattr(text, "num_key_value_heads", None) or text.num_attention_heads,
                head_width=_head_width(text) or text.hidden_size // text.num_attention_heads,
                vocabulary=text.vocab_size,
                is_tied=bool(getattr(text, "tie_word_embeddings", False)),
            )
        except AttributeError as error:
            raise ValueError(f"the model's config has no {error.name}") from error

    @property
    def query_width(self) -> int:
        """Return the width of all query heads."""
        return self.heads * self.head_width

    @property
    def key_width(self) -> int:
        """Return the width of all key heads, which is also that of all value heads."""
        return self.key_heads * self.head_width

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Return (in, out) of each linear layer of one block."""
        h, m = self.hidden, self.intermediate
        return {
            "q_proj": (h, self.query_width), "k_proj": (h, self.key_width), "v_proj": (h, self.key_width),
            "o_proj": (self.query_width, h), "gate_proj": (h, m), "up_proj": (h, m), "down_proj": (m, h),
        }  # fmt: skip


def cache_bytes_per_token(config: Any, itemsize: int) -> int:
    """Return the bytes that the keys and values of one token of one row take, for a model of any family.

    Models with another state are counted as if they had one key and one value of the hidden size per layer, which is
    more than a state that does not grow.

    Args:
        config: The model's `PretrainedConfig`.
        itemsize: Bytes per number of the cache.
    """
    text = config.get_text_config()
    layers = getattr(text, "num_hidden_layers", None) or 1
    heads = getattr(text, "num_attention_heads", None)
    key_heads = getattr(text, "num_key_value_heads", None) or heads
    width = _head_width(text)
    # Some families give a number per layer, or none at all.
    if width is None and isinstance(heads, int):
        width = text.hidden_size // heads
    if width is None or not isinstance(key_heads, int):
        return 2 * layers * text.hidden_size * itemsize
    return 2 * layers * key_heads * width * itemsize


def _head_width(text: Any) -> int | None:
    """Return the head width that a text config states, or None."""
    width = getattr(text, "head_dim", None)
    return width if isinstance(width, int) and width else None
