"""Hypothesis strategy for JSON values with the field names of conversations."""

from hypothesis import strategies as st

KEYS = st.sampled_from(["role", "content", "from", "value", "type", "text", "input", "output", "replies", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
