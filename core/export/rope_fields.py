"""Rotary positions in config.json under the names of transformers 4, beside those of transformers 5.

transformers 5 writes `rope_parameters` alone. mlx-lm, TGI and others that were written for transformers 4 read
`rope_theta` and `rope_scaling` at the top level, and where these are missing they compute with 10,000 and no scaling,
without an error. transformers 5 reads both.
"""

from typing import Any

_FULL, _SLIDING = "full_attention", "sliding_attention"


def legacy_rope_fields(config: Any) -> dict[str, Any]:
    """Return the fields of transformers 4 for a model's rotary positions; nothing for a model without them.

    Args:
        config: The model's `PretrainedConfig`.
    """
    rope = getattr(config.get_text_config(), "rope_parameters", None) or {}
    # Gemma 3 has its own angles in layers with a sliding window.
    local = rope.get(_SLIDING)
    rope = rope.get(_FULL, rope)
    if "rope_theta" not in rope:
        return {}
    scaling = {key: value for key, value in rope.items() if key not in ("rope_theta", "partial_rotary_factor")}
    fields = {"rope_theta": rope["rope_theta"]}
    if scaling.get("rope_type", "default") != "default":
        fields["rope_scaling"] = scaling
    if "partial_rotary_factor" in rope:
        fields["partial_rotary_factor"] = rope["partial_rotary_factor"]
    if local:
        fields["rope_local_base_freq"] = local["rope_theta"]
    return fields
