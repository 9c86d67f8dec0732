"""The growing cache holds what transformers' own cache holds, and copies only when its free tokens are used up."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache

from core.chat.growing_cache import FREE_TOKENS, make_growing_cache

# Changes of both caches: tokens are appended, rows are selected, columns are removed or added on the left.
CHANGES = st.one_of(
    st.tuples(st.just("append"), st.integers(1, FREE_TOKENS + 5)),
    st.tuples(st.just("select"), st.lists(st.integers(0, 2), min_size=1, max_size=3)),
    st.tuples(st.just("trim"), st.integers(1, 3)),
    st.tuples(st.just("pad"), st.integers(1, 3)),
)


def append(caches, tokens, seed):
    rows = caches[0].layers[0].keys.shape[0] if caches[0].layers else 3
    states = torch.randn(2, rows, 2, tokens, 4, generator=torch.Generator().manual_seed(seed))
    for cache in caches:
        cache.update(states[0], states[1], 0)


def change(cache, kind, value):
    layer = cache.layers[0]
    if kind == "select":
        cache.batch_select_indices(torch.tensor([at % layer.keys.shape[0] for at in value]))
    elif kind == "trim" and layer.keys.shape[2] > value:
        layer.keys, layer.values = layer.keys[:, :, value:], layer.values[:, :, value:]
    elif kind == "pad":
        layer.keys, layer.values = (
            torch.nn.functional.pad(part, (0, 0, value, 0)) for part in (layer.keys, layer.values)
        )


@given(st.lists(CHANGES, max_size=12))
def test_growing_cache_equals_that_of_transformers(changes):
    caches = make_growing_cache(), DynamicCache()
    append(caches, 5, seed=99)
    for seed, (kind, value) in enumerate(changes):
        if kind == "append":
            append(caches, value, seed)
        else:
            for cache in caches:
                change(cache, kind, value)
        ours, theirs = (cache.layers[0] for cache in caches)
        assert torch.equal(ours.keys, theirs.keys)
        assert torch.equal(ours.values, theirs.values)
        assert caches[0].get_seq_length() == caches[1].get_seq_length()


def test_growing_cache_writes_a_token_without_a_copy_until_the_free_tokens_are_used_up():
    cache = make_growing_cache()
    addresses = []
    for seed in range(2 * FREE_TOKENS):
        append([cache], 1, seed)
        addresses.append(cache.layers[0].keys.data_ptr())
    assert len(set(addresses[:FREE_TOKENS])) == 1
    assert 2 <= len(set(addresses)) <= 3


def test_growing_cache_selected_rows_do_not_keep_the_buffer_alive():
    cache = make_growing_cache()
    append([cache], 4, 0)
    cache.batch_select_indices(torch.tensor([1]))
    assert cache.layers[0].keys.untyped_storage().nbytes() == 1 * 2 * 4 * 4 * 4
