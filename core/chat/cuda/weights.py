"""Model weights as the kernels read them: the projections that share an input are merged into one matrix.

    q_proj (outputs_q, inputs) ┐
    k_proj (outputs_k, inputs) ├─▶ "qkv" (outputs_q + outputs_k + outputs_v, inputs)      one product instead of three
    v_proj (outputs_v, inputs) ┘

Nothing is stored twice: the modules' own weights become views of the merged ones, so the PyTorch model still works.

4-bit weights stay as bitsandbytes packs them; core/kernels/nf4.py describes the layout. A merged weight has the codes
and scales of its projections one after the other. With double quantization each projection has its own outer offset,
and its outer scales begin at an entry of their own (`MergedLinears.starts`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from core.models.fast_paths import projections
from core.models.shape import ModelShape

# Indices into a block's seven projections (`fast_paths.projections`) that share an input.
GROUPS = {"qkv": (0, 1, 2), "o": (3,), "gate_up": (4, 5), "down": (6,)}


class MergedLinears:
    """A projection group: the projections of a block that share an input, as one matrix.

    Attributes:
        modules: PyTorch's modules of the projections.
        count: Number of projections.
        width: Number of inputs.
        outputs: Number of outputs of each projection.
        total: Number of outputs of all projections.
        is_packed: Whether the weights are in 4 bits.
        is_nested: Whether `absmax` is quantized itself (double quantization).
        data: Packed weights, uint8; or the weights (total, width) in the model's dtype.
        absmax: Scale of each block of 64 weights; float32, or uint8 if `is_nested`.
        code: (16,), float32: the values of the 4-bit indices.
        code_values: The same values on the host.
        outer_blocksize: Number of blocks that share an entry of `outer_absmax`.
        outer_code: (256,), float32: the values of `absmax` if `is_nested`.
        outer_absmax: Float32, the projections' entries one after the other.
        outer_offsets: (count,), float32.
        starts: (2, count), int32: the first output of each projection, and its first entry in `outer_absmax`.
    """

    def __init__(self, modules: list[torch.nn.Module]):
        """Merge projections; their weights become views.

        Args:
            modules: Linear layers, or bitsandbytes' Linear4bit layers, of one kind.
        """
        self.modules = modules
        self.count = len(modules)
        self.width = modules[0].in_features
        self.outputs = [module.out_features for module in modules]
        self.total = sum(self.outputs)
        states = [getattr(module.weight, "quant_state", None) for module in modules]
        self.is_packed = states[0] is not None
        self.is_nested, self.outer_blocksize, self.code_values = False, 1, ()
        device = modules[0].weight.device
        self.data = _merge([module.weight for module in modules])
        if not self.is_packed:
            self.data = self.data.view(self.total, self.width)  # (total, width), model dtype
        # A kernel needs a pointer for every argument, also for those that it does not read.
        self.absmax = self.code = self.outer_code = self.outer_absmax = self.outer_offsets = self.data
        outer_starts = [0] * self.count
        if self.is_packed:
            self._merge_states(states)
            if self.is_nested:
                sizes = [state.state2.absmax.numel() for state in states]
                outer_starts = [sum(sizes[:at]) for at in range(self.count)]
        output_starts = [sum(self.outputs[:at]) for at in range(self.count)]
        self.starts = torch.tensor([output_starts, outer_starts], dtype=torch.int32, device=device)  # (2, count)

    def _merge_states(self, states: list) -> None:
        """Merge bitsandbytes' quantization states."""
        self.is_nested = states[0].nested
        self.code, self.code_values = states[0].code, tuple(states[0].code.tolist())
        self.absmax = _merge([state.absmax for state in states], lambda at, view: setattr(states[at], "absmax", view))
        if self.is_nested:
            outer = [state.state2 for state in states]
            self.outer_blocksize, self.outer_code = outer[0].blocksize, outer[0].code
            self.outer_absmax = _merge(
                [state.absmax for state in outer], lambda at, view: setattr(outer[at], "absmax", view)
            )
            self.outer_offsets = torch.stack([state.offset.float().reshape(()) for state in states])  # (count,)


def _merge(tensors: list[torch.Tensor], set_view: Callable[[int, torch.Tensor], None] | None = None) -> torch.Tensor:
    """Concatenate tensors into one of one dimension, and replace each by its view.

    Args:
        tensors: Tensors of one dtype. A single one is returned as it is.
        set_view: Stores the view of a tensor, by its index; None changes the tensors' own data.
    """
    if len(tensors) == 1:
        return tensors[0].data
    merged, start = torch.cat([tensor.data.reshape(-1) for tensor in tensors]), 0  # (elements of all,)
    for at, tensor in enumerate(tensors):
        view = merged[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
        if set_view is None:
            tensor.data = view
        else:
            set_view(at, view)
    return merged


@dataclass(frozen=True)
class Block:
    """One transformer block.

    Attributes:
        first_norm: (hidden,), weight of the norm before attention.
        second_norm: (hidden,), weight of the norm before the MLP.
        groups: Merged projections, by the names in `GROUPS`.
    """

    first_norm: torch.Tensor
    second_norm: torch.Tensor
    groups: dict[str, MergedLinears]


class Weights:
    """Weights and sizes of a model of Llama's architecture.

    Attributes:
        heads: Number of query heads.
        key_heads: Number of key-value heads; each serves heads / key_heads query heads.
        head_width: Width of a head.
        hidden: Width of the residual stream.
        inner: Width of the MLP.
        eps: Epsilon of the norms.
        scale: Factor of the attention scores.
        vocabulary: Number of rows of `lm_head`.
        context: Number of positions.
        blocks: The transformer blocks.
        is_packed: Whether the projections are in 4 bits.
        scratch: One buffer for the unpacked weights of any group; empty if nothing is packed.
        embedding: (vocabulary, hidden).
        last_norm: (hidden,).
        lm_head: (vocabulary, hidden).
        cos: (context, head_width / 2), in the model's dtype.
        sin: (context, head_width / 2).
    """

    def __init__(self, model: torch.nn.Module):
        """Read a model for which `fast_paths.undecoded_reason` is None."""
        config = model.config
        self.model, self.dtype, self.device = model, model.dtype, model.device
        shape = ModelShape.from_config(config)
        self.heads, self.key_heads, self.head_width = shape.heads, shape.key_heads, shape.head_width
        self.hidden, self.inner = shape.hidden, shape.intermediate
        self.eps = config.rms_norm_eps
        self.scale = model.model.layers[0].self_attn.scaling
        self.vocabulary = model.lm_head.weight.shape[0]
        self.context = config.max_position_embeddings
        self.blocks = [self._block(layer) for layer in model.model.layers]
        groups = self.blocks[0].groups
        self.is_packed = groups["qkv"].is_packed
        # One buffer for all groups: the kernels that fill and read it run one after the other on one stream.
        largest = max(group.total * group.width for group in groups.values()) if self.is_packed else 0
        self.scratch = torch.empty(largest, dtype=self.dtype, device=self.device)
        self.embedding = model.model.embed_tokens.weight.data  # (vocabulary, hidden)
        self.last_norm = model.model.norm.weight.data  # (hidden,)
        self.lm_head = model.lm_head.weight.data  # (vocabulary, hidden)
        positions = torch.arange(self.context, device=self.device)[None]  # (1, context)
        cos, sin = model.model.rotary_emb(self.embedding[:1], positions)  # (1, context, head_width)
        # Both halves of a head rotate by the same angles, so the first half of the table is enough.
        self.cos, self.sin = (table[0, :, : self.head_width // 2].contiguous() for table in (cos, sin))

    @staticmethod
    def _block(layer: torch.nn.Module) -> Block:
        modules = projections(layer)
        return Block(
            layer.input_layernorm.weight.data,
            layer.post_attention_layernorm.weight.data,
            {name: MergedLinears([modules[at] for at in members]) for name, members in GROUPS.items()},
        )
