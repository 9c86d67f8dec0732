"""Marked differences of two texts: right for any texts, and quick for those that repeat."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.chat_board import AnswerCard, BoardTurn, board_html
from components.text_differences import MAX_COMPARED_PIECES, differences, is_compared_in_part

# Texts of few different words have many common subsequences.
REPETITIVE = st.text("ab .\n", max_size=30)
# The text that a page shows is rendered again at each click, so no pair may take long. The comparison takes 0.03 s.
MAX_SECONDS = 1.0


@pytest.mark.parametrize("text", [st.text(max_size=60), REPETITIVE])
def test_differences_pieces_join_to_the_texts_and_equal_texts_have_none(text):
    @given(text, text)
    def check(first, second):
        left, right = differences(first, second)
        assert "".join(text for text, _ in left) == first
        assert "".join(text for text, _ in right) == second
        if first == second:
            assert not any(on for _, on in [*left, *right])
        same = [[text for text, on in side if not on] for side in (left, right)]
        assert "".join(same[0]) == "".join(same[1]), "both texts have what is not marked"

    check()


@given(st.text(".,;", max_size=20), st.text(".,;", max_size=20))
def test_differences_keep_the_longest_common_subsequence(first, second):
    lengths = [0] * (len(second) + 1)
    for one in first:
        above = lengths.copy()
        for at, other in enumerate(second):
            lengths[at + 1] = above[at] + 1 if one == other else max(above[at + 1], lengths[at])
    left, right = differences(first, second)
    assert [sum(len(text) for text, on in side if not on) for side in (left, right)] == [lengths[-1]] * 2


def test_differences_marks_only_the_words_that_differ():
    left, right = differences("the lamp is lit", "the lamp was lit")
    assert [text for text, on in left if on] == ["is"]
    assert [text for text, on in right if on] == ["was"]
    assert "<mark>was</mark>" in board_html([BoardTurn(0, "?", [AnswerCard("Tuned", "", marked=right)])])


@pytest.mark.parametrize(("first", "second"), [
    (". " * 4_000, ". \n" * 4_000),
    ("a " * 4_000, "a " * 4_001),
    (" 1 2" * 3_000, " 1 1 2" * 2_000),
    (".,;" * 3_000, ";,." * 3_000),
    (" ".join(map(str, range(4_000))), " ".join(map(str, range(4_000, 0, -1)))),
])  # fmt: skip
def test_differences_of_repetitive_texts_take_no_longer(first, second):
    began = time.process_time()
    differences(first, second)
    assert time.process_time() - began < MAX_SECONDS


def test_differences_leave_the_rest_of_a_long_text_unmarked():
    head, rest = "a " * (MAX_COMPARED_PIECES // 2), "b " * 1_000_000
    assert (is_compared_in_part(head), is_compared_in_part(head + rest)) == (False, True)
    left, right = differences(head + rest, head)
    assert (left, right) == ([(head, False), (rest, False)], [(head, False)])
