"""Messages and posts, one per row, in which a column names another row, are asked about; other ids are not."""

import pytest

from core.data.formats.detect import detect

TEXTS = [
    "@line How long does it take to the island?", "@11 About forty minutes, if the wind is kind.",
    "@line Is there a boat on Sunday as well?", "@12 There are two, at nine and at five.",
    "@line May I bring my bicycle on board?", "@13 You may, it travels on the lower deck.",
]  # fmt: skip


def rows_of(**columns):
    return [{"text": text, **{name: values[i] for name, values in columns.items()}} for i, text in enumerate(TEXTS)]


NUMBERS = [1, 2, 3, 4, 5, 6]
PARENTS = [None, 1, None, 3, None, 5]
REPLIES = {
    "tweets": rows_of(tweet_id=NUMBERS, author_id=["11", "line", "12", "line", "13", "line"],
                      inbound=[True, False] * 3, in_response_to_tweet_id=PARENTS),
    "pandas": rows_of(tweet_id=["1", "2", "3", "4", "5", "6"], response_tweet_id=["2.0", "", "4.0", "", "6.0", ""]),
    "Stack Exchange": rows_of(Id=NUMBERS, PostTypeId=[1, 2] * 3, ParentId=PARENTS),
    "Reddit": rows_of(id=["a1", "b2", "c3", "d4", "e5", "f6"],
                      parent_id=["t3_zz", "t1_a1", "t1_b2", "t1_c3", "t1_d4", "t1_e5"]),
    "replies outside": rows_of(in_reply_to_status_id=[f"99{i}" for i in range(6)]),
    "comments": rows_of(parent_comment_id=PARENTS),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLIES)
def test_detect_rows_that_answer_each_other_are_asked_about(name):
    found = detect(REPLIES[name])
    assert found.reading.format == "undecided", found.evidence
    assert "Each row is one message" in found.evidence
    assert "another" in found.evidence


TEXTS_WITH_IDS = {
    "sections of a book": rows_of(id=NUMBERS, parent_id=[80, 80, 80, 81, 81, 81]),
    "response codes": rows_of(id=[10, 11, 12, 13, 14, 15], response_code=[200] * 6),
    "no other row": rows_of(id=NUMBERS, reply_id=[None] * 6),
}


@pytest.mark.parametrize("name", TEXTS_WITH_IDS)
def test_detect_other_ids_are_no_replies(name):
    assert detect(TEXTS_WITH_IDS[name]).reading.format == "text"
