"""Token counts of a dataset and their statistics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import ingest, lengths, parse_rows, table
from core.data.lengths import TokenizerSpec, padding_share
from core.data.rows import Rows
from core.data.tokens import Renderer
from core.models import embedded
from tests.helpers.datasets import dialog, open_dialogs

pytestmark = pytest.mark.usefixtures("tokenizers_in_jobs")

TOKENS = TokenizerSpec(embedded.NAME)


@pytest.fixture
def data(studio, tmp_path):
    conversations = [dialog("What?", "word " * i) for i in range(1, 30)]
    bad = [[{"role": "user", "content": "?"}], dialog("a <|im_end|> b", "c")]
    return open_dialogs(studio, tmp_path, [*conversations, *bad])


def test_count_tokens_equals_lengths_of_the_renderer(studio, data, tokenizer):
    path = lengths.count_tokens(studio, data, data.detected, TOKENS)
    rows = Rows(studio, data.id, lengths=path)
    found = {r: (n, a) for r, n, a in rows.query("row, tokens, answer_tokens", {"lengths"}).fetchall()}
    renderer = Renderer(tokenizer)
    for row, _, messages in rows.usable_rows():
        if row < 29:
            rendered = renderer.render(messages)
            assert found[row] == (rendered.length, rendered.loss_tokens)
    assert found[29] == found[30] == (None, None)


def test_summarize_gives_consistent_statistics(studio, data):
    path = lengths.count_tokens(studio, data, data.detected, TOKENS)
    found = lengths.summarize(path, max_length=50, batch=4)
    counted = np.array([n for (n,) in Rows(studio, data.id, lengths=path).query(
        "tokens", {"lengths"}, after="WHERE tokens IS NOT NULL").fetchall()])  # fmt: skip
    assert (found.rows, found.refused) == (29, 1)
    assert found.tokens == counted.sum()
    assert found.truncated == (counted > 50).sum() > 0
    assert found.lost_tokens == np.maximum(counted - 50, 0).sum()
    assert sum(found.counts) == 29
    assert lengths.summarize(path, 50, 4, chosen=[0, 1]).rows == 2
    assert lengths.summarize(path, 50, 4, chosen=[29]).rows == 0


def test_count_tokens_twice_counts_once(studio, data, monkeypatch):
    before = lengths.path_of(studio, data, data.detected, TOKENS)
    assert not before.exists()
    path = lengths.count_tokens(studio, data, data.detected, TOKENS)
    assert path == before
    monkeypatch.setattr(lengths, "map_row_groups", None)
    assert lengths.count_tokens(studio, data, data.detected, TOKENS) == path
    assert lengths.path_of(studio, data, data.detected, TokenizerSpec(embedded.NAME, "llama2")) != path


def test_path_of_counts_without_local_tokenizer_is_none(studio, data):
    assert lengths.path_of(studio, data, data.detected, TokenizerSpec("meta-llama/Llama-2-7b-hf")) is None


def test_count_tokens_in_parallel_equals_single_process(studio, tmp_path, monkeypatch):
    for module in (ingest, parse_rows):
        monkeypatch.setattr(module, "GROUP_ROWS", 10)
    conversations = [dialog("What?", "word " * i) for i in range(1, 45)]
    shares: list[float] = []
    data = open_dialogs(studio, tmp_path, conversations)
    path = lengths.count_tokens(studio, data, data.detected, TOKENS, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    found = Rows(studio, data.id, lengths=path).query("row, tokens", {"lengths"}, after="ORDER BY row").fetchall()
    assert [row for row, _ in found] == list(range(44))
    assert found[43][1] - found[0][1] == 43
    assert table.folder(studio, data.id).is_dir()


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60), st.integers(1, 16))
def test_padding_share_equals_mean_over_random_batches(sizes, batch):
    """Compare with the mean over 4,000 random batches."""
    batches = np.random.default_rng(0).choice(sizes, size=(4000, batch))
    expected = 1 - batches.sum() / (batches.max(axis=1).sum() * batch)
    assert padding_share(np.array(sizes), batch) == pytest.approx(expected, abs=0.04)
