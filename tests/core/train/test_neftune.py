"""NEFTune noise on embeddings."""

import pytest
import torch

from core.train.neftune import add_noise


@pytest.mark.parametrize("packed", [True, False])
def test_embedding_noise_bound_follows_row_length(packed):
    """Uniform in ±alpha / √(L d), of each row's own length L."""
    lengths, width, alpha = [4, 16], 32, 5.0
    embeddings = torch.nn.Embedding(10, width)
    noise, remove = add_noise(embeddings, alpha)
    ids = torch.zeros((1, 20), dtype=torch.long) if packed else torch.zeros((2, 16), dtype=torch.long)
    noise.lengths = lengths if packed else torch.tensor(lengths)
    torch.manual_seed(0)
    added = embeddings(ids) - torch.nn.functional.embedding(ids, embeddings.weight)
    rows = added[0].split(lengths) if packed else [added[0, :4], added[1, :16]]
    for row, length in zip(rows, lengths, strict=True):
        bound = alpha / (length * width) ** 0.5
        assert row.abs().max() <= bound * 1.0001
        assert row.abs().max() > 0.9 * bound
    embeddings.eval()
    assert torch.equal(embeddings(ids), torch.nn.functional.embedding(ids, embeddings.weight))
    embeddings.train()
    remove()
    assert torch.equal(embeddings(ids), torch.nn.functional.embedding(ids, embeddings.weight))
