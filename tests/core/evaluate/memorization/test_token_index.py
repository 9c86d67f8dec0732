"""Tests of core.evaluate.memorization.token_index and spans, against a search by brute force."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StudioError
from core.evaluate.memorization import token_index
from core.evaluate.memorization.spans import Span, copied_share, find_spans
from core.evaluate.memorization.token_index import DEPTH, TokenIndex, build

# Few different tokens, so that texts repeat themselves and each other.
_TEXTS = st.lists(st.lists(st.integers(0, 3), max_size=60), min_size=1, max_size=12)


def _occurs(texts, ids):
    return any(ids == text[at : at + len(ids)] for text in texts for at in range(len(text) - len(ids) + 1))


def _first_match(index, ids):
    lengths, rows = index.longest_matches(np.array(ids, np.uint32))
    return int(lengths[0]), int(rows[0])


@pytest.fixture
def make_index(tmp_path):
    def make(texts, name="index"):
        folder = tmp_path / name
        folder.mkdir()
        build(folder, enumerate(texts))
        return TokenIndex(folder)

    return make


@settings(max_examples=60, deadline=None)
@given(texts=_TEXTS, ids=st.lists(st.integers(0, 4), min_size=1, max_size=50), block=st.sampled_from([1, 7, 1_000_000]))
def test_longest_match_equals_brute_force(tmp_path_factory, texts, ids, block):
    folder = tmp_path_factory.mktemp("index")
    if not any(texts):
        with pytest.raises(StudioError, match="contain no text"):
            build(folder, enumerate(texts))
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_index, "_BLOCK", block)
        build(folder, enumerate(texts))
    lengths, rows = TokenIndex(folder).longest_matches(np.array(ids, np.uint32))
    for start, (length, row) in enumerate(zip(lengths, rows, strict=True)):
        rest = ids[start:]
        assert length == max(n for n in range(len(rest) + 1) if n == 0 or _occurs(texts, rest[:n]))
        assert row == -1 if length == 0 else _occurs([texts[row]], rest[:length])


# By name: the training texts, and the part that the answer repeats.
REPEATED = {
    "one long text": ([[5] * 200_000], [5]), "texts as long as the answer": ([[5] * 4_096] * 50, [5]),
    "shorter texts": ([[5] * 1_000] * 300, [5]), "two words": ([[5, 6] * 2_000] * 50, [5, 6]),
    "a sentence": ([list(range(17)) * 60] * 100, list(range(17))),
    "one row often": ([list(range(999))] * 300, list(range(999))),
}  # fmt: skip


@pytest.mark.parametrize("name", REPEATED)
def test_answer_that_repeats_itself_is_traced_in_time(make_index, name):
    texts, part = REPEATED[name]
    answer = (part * 4_096)[:4_096]
    index = make_index(texts)
    began = time.thread_time()
    lengths, rows = index.longest_matches(np.array(answer, np.uint32))
    # Compared one by one, these took nine seconds.
    assert time.thread_time() - began < 4
    assert lengths[0] == min(len(texts[0]), len(answer))
    assert lengths[-1] == 1
    assert set(rows.tolist()) <= set(range(len(texts)))


def test_a_match_longer_than_the_depth_and_at_the_end_of_the_file(make_index):
    long = list(range(100, 100 + 5 * DEPTH))
    index = make_index([long[: 3 * DEPTH], [9, 9], long])
    assert _first_match(index, [*long, 7]) == (5 * DEPTH, 2)
    assert _first_match(index, long[-DEPTH:]) == (DEPTH, 2)
    # The next text is no continuation.
    assert _first_match(index, [long[3 * DEPTH - 1], 9])[0] == 1
    assert index.texts == 3


def test_spans_are_the_longest_first_and_do_not_overlap(make_index):
    index = make_index([list(range(10, 30)), list(range(25, 45)), [1] * 8])
    answer = [7, *range(12, 40), 7, 7, *[1] * 8, 3]
    found = find_spans(index, answer)
    assert found == [Span(1, 19, 0), Span(19, 29, 1), Span(31, 39, 2)]
    assert copied_share(found, len(answer)) == pytest.approx(36 / len(answer))
    assert find_spans(index, []) == []
    assert copied_share([], 0) == 0


def test_answers_without_a_known_token_have_no_span(make_index):
    index = make_index([[1, 2, 3]])
    assert _first_match(index, [4_000_000, 1]) == (0, -1)
    assert _first_match(index, [0]) == (0, -1)
    assert find_spans(index, [50_000] * 20) == []


@pytest.mark.parametrize(("frequent", "most"), [(0.0, 3_000_000), (0.5, 5_000_000)])
def test_building_holds_a_bounded_part_in_memory(tmp_path, monkeypatch, frequent, most):
    monkeypatch.setattr(token_index, "_BLOCK", 2_000)
    generator = np.random.default_rng(0)
    tokens = generator.integers(1, 5_000, (1_000, 200)) * (generator.random((1_000, 200)) >= frequent)
    texts = [(row, ids.tolist()) for row, ids in enumerate(tokens)]
    tracemalloc.start()
    build(tmp_path, texts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All keys would take 200,000 x 64 bytes = 12.8 MB, and those of a frequent token half of it.
    assert peak < most
