"""A model's weights as the kernels read them: what reads the same input lies side by side.

Nothing is kept twice: the modules' own weights become views of what was merged, so the plain model goes on working.
"""

from dataclasses import dataclass

import torch

from core.chat.cuda.support import modules_of

GROUPS = {"qkv": (0, 1, 2), "o": (3,), "both": (4, 5), "down": (6,)}  # of the seven projections


class Merged:
    """Projections of one input.

    Attributes:
        data: packed two to a byte, or (outputs, inputs).
        sizes: absmax of each block of 64 weights, float32, or what it was quantised to once more.
        parts: (2, modules), int32: the first output of each module, and the first of its outer sizes.
    """

    def __init__(self, modules: list[torch.nn.Module]):
        self.list = modules
        self.modules = len(modules)
        self.width = modules[0].in_features
        self.outputs = [module.out_features for module in modules]
        self.total = sum(self.outputs)
        states = [getattr(module.weight, "quant_state", None) for module in modules]
        self.packed = states[0] is not None
        self.nested, self.outer, self.codes = False, 1, ()
        device = modules[0].weight.device
        self.data = _merged([module.weight for module in modules])
        if not self.packed:
            self.data = self.data.view(self.total, self.width)
        # what a kernel is not to read must still be something
        self.sizes = self.code = self.outer_code = self.outer_sizes = self.outer_offsets = self.data
        outer_starts = [0] * self.modules
        if self.packed:
            self._take_states(states)
            if self.nested:
                counts = [state.state2.absmax.numel() for state in states]
                outer_starts = [sum(counts[:at]) for at in range(self.modules)]
        starts = [sum(self.outputs[:at]) for at in range(self.modules)]
        self.parts = torch.tensor([starts, outer_starts], dtype=torch.int32, device=device)

    def _take_states(self, states: list) -> None:
        self.nested = states[0].nested
        self.code, self.codes = states[0].code, tuple(states[0].code.tolist())
        self.sizes = _merged([state.absmax for state in states], lambda at, view: setattr(states[at], "absmax", view))
        if self.nested:
            outer = [state.state2 for state in states]
            self.outer, self.outer_code = outer[0].blocksize, outer[0].code
            self.outer_sizes = _merged(
                [state.absmax for state in outer], lambda at, view: setattr(outer[at], "absmax", view)
            )
            self.outer_offsets = torch.stack([state.offset.float().reshape(()) for state in states])

    def unpacked(self, room: torch.Tensor, paired: bool = False) -> torch.Tensor:
        """All weights (outputs, inputs), in `room` where they are packed."""
        if not self.packed:
            return self.data
        from core.chat.cuda import quantized_matmul

        out = room[: self.total * self.width].view(self.total, self.width)
        quantized_matmul.unpack(self, out, paired)
        return out


def _merged(tensors: list[torch.Tensor], keep=None) -> torch.Tensor:
    """All in one, of which each becomes a view."""
    if len(tensors) == 1:
        return tensors[0].data
    whole, start = torch.cat([tensor.data.reshape(-1) for tensor in tensors]), 0
    for at, tensor in enumerate(tensors):
        view = whole[start : start + tensor.numel()].view(tensor.shape)
        start += tensor.numel()
        if keep is None:
            tensor.data = view
        else:
            keep(at, view)
    return whole


@dataclass(frozen=True)
class Block:
    """One block: its norms' weights and its groups by name."""

    first_norm: torch.Tensor
    second_norm: torch.Tensor
    groups: dict[str, Merged]


class Weights:
    """A model of Llama's shape, and its numbers. `heads` share the `key_heads`; `head` is a head's width."""

    def __init__(self, model: torch.nn.Module):
        config = model.config
        self.model, self.dtype, self.device = model, model.dtype, model.device
        self.heads = config.num_attention_heads
        self.key_heads = getattr(config, "num_key_value_heads", None) or self.heads
        self.hidden, self.inner = config.hidden_size, config.intermediate_size
        self.head = getattr(config, "head_dim", None) or self.hidden // self.heads
        self.eps = config.rms_norm_eps
        self.scale = model.model.layers[0].self_attn.scaling
        self.vocabulary = model.lm_head.weight.shape[0]
        self.context = config.max_position_embeddings
        self.blocks = [self._block(layer) for layer in model.model.layers]
        groups = self.blocks[0].groups
        self.packed = groups["qkv"].packed
        # where the weights of one group are unpacked to; all kernels that do so come one after the other
        largest = max(group.total * group.width for group in groups.values()) if self.packed else 0
        self.room = torch.empty(largest, dtype=self.dtype, device=self.device)
        self.embedding, self.last_norm, self.lm_head = (
            model.model.embed_tokens.weight.data, model.model.norm.weight.data, model.lm_head.weight.data,
        )  # fmt: skip
        positions = torch.arange(self.context, device=self.device)[None]
        cos, sin = model.model.rotary_emb(self.embedding[:1], positions)
        # both halves of a head turn alike
        self.cos, self.sin = (table[0, :, : self.head // 2].contiguous() for table in (cos, sin))

    @staticmethod
    def _block(layer: torch.nn.Module) -> Block:
        modules = modules_of(layer)
        return Block(
            layer.input_layernorm.weight.data,
            layer.post_attention_layernorm.weight.data,
            {name: Merged([modules[at] for at in members]) for name, members in GROUPS.items()},
        )
