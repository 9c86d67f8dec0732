import json
import random

from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.answers_file import AnswerReader, AnswerWriter


def line(prompt, lane, text="ü"):
    return {"prompt": prompt, "lane": lane, "text": text, "tokens": 1, "end": "end", "note": "", "f1": None}


def test_answers_are_followed_and_found_by_prompt(tmp_path):
    path = tmp_path / "answers.jsonl"
    follower = AnswerReader(path, 2)
    assert len(follower.update()) == 0
    writer = AnswerWriter(path)
    writer.write([line(3, 1), line(0, 0)])
    assert follower.update().finished == []
    writer.write([line(3, 0, "first")])
    assert follower.update().finished == [3]
    assert [found["text"] for found in follower.read(3)] == ["first", "ü"]
    assert follower.read(0) == [line(0, 0), None]
    assert [tally.answers for tally in follower.metrics] == [2, 1]


@given(cut=st.integers(0, 400))
def test_whatever_a_crash_cuts_off_the_rest_is_whole_and_goes_on(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "answers.jsonl"
    writer = AnswerWriter(path)
    writer.write([line(n, 0, "a" * n) for n in range(5)])
    writer.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    left = whole[:cut].count(b"\n")
    assert len(AnswerReader(path, 1).update()) == left
    AnswerWriter(path).write([line(n, 0) for n in range(left, 5)])
    assert [json.loads(text)["prompt"] for text in path.read_text().splitlines()] == list(range(5))


def test_half_a_line_longer_than_what_is_read_at_once_is_dropped(tmp_path):
    path = tmp_path / "answers.jsonl"
    AnswerWriter(path).write([line(0, 0)])
    with path.open("a") as stream:
        stream.write('{"prompt": 1, "text": "' + "x" * 200_000)
    AnswerWriter(path).write([line(1, 0)])
    assert len(AnswerReader(path, 1).update()) == 2


def test_a_line_that_is_being_written_is_left_for_the_next_look(tmp_path):
    path = tmp_path / "answers.jsonl"
    follower, text = AnswerReader(path, 1), json.dumps(line(0, 0)) + "\n"
    place = random.Random(0).randrange(1, len(text) - 1)
    path.write_text(text[:place])
    assert len(follower.update()) == 0
    path.write_text(text)
    assert len(follower.update()) == 1
