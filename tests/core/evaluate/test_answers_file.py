import json
import random

from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.answers_file import AnswerReader
from core.evaluate.likelihood import LossReader
from core.evaluate.line_file import LineWriter


def line(prompt, lane, text="ü"):
    return {"prompt": prompt, "lane": lane, "text": text, "tokens": 1, "end": "end", "note": "", "f1": None}


def test_answer_reader_growing_file_indexes_answers_by_prompt(tmp_path):
    path = tmp_path / "answers.jsonl"
    reader = AnswerReader(path, 2)
    assert len(reader.update()) == 0
    writer = LineWriter(path)
    writer.write([line(3, 1), line(0, 0)])
    assert reader.update().finished == []
    writer.write([line(3, 0, "first")])
    assert reader.update().finished == [3]
    assert [found["text"] for found in reader.read(3)] == ["first", "ü"]
    assert reader.read(0) == [line(0, 0), None]
    assert reader.answered == [2, 1]
    # Means are those of prompts that every lane has answered.
    assert [metrics.counts["tokens"] for metrics in reader.metrics] == [1, 1]


@given(size=st.integers(0, 400))
def test_answer_writer_file_truncated_anywhere_keeps_complete_lines(tmp_path_factory, size):
    path = tmp_path_factory.mktemp("size") / "answers.jsonl"
    writer = LineWriter(path)
    writer.write([line(n, 0, "a" * n) for n in range(5)])
    writer.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    left = whole[:size].count(b"\n")
    assert len(AnswerReader(path, 1).update()) == left
    LineWriter(path).write([line(n, 0) for n in range(left, 5)])
    assert [json.loads(text)["prompt"] for text in path.read_text().splitlines()] == list(range(5))


def test_answer_writer_incomplete_line_longer_than_a_block_is_removed(tmp_path):
    path = tmp_path / "answers.jsonl"
    LineWriter(path).write([line(0, 0)])
    with path.open("a") as stream:
        stream.write('{"prompt": 1, "text": "' + "x" * 200_000)
    LineWriter(path).write([line(1, 0)])
    assert len(AnswerReader(path, 1).update()) == 2


def test_answer_reader_incomplete_line_is_read_once_complete(tmp_path):
    path = tmp_path / "answers.jsonl"
    reader, text = AnswerReader(path, 1), json.dumps(line(0, 0)) + "\n"
    position = random.Random(0).randrange(1, len(text) - 1)
    path.write_text(text[:position])
    assert len(reader.update()) == 0
    path.write_text(text)
    assert len(reader.update()) == 1


def test_damaged_line_hides_no_other_answer(tmp_path, capsys):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(
        b"".join([json.dumps(line(0, 0)).encode(), b"\n\x00{]\n\xff\n", json.dumps(line(2, 0)).encode(), b"\n"])
    )
    reader = AnswerReader(path, 1).update()
    assert [reader.read(prompt)[0] is not None for prompt in range(3)] == [True, False, True]
    assert capsys.readouterr().err.count("cannot be read and is left out") == 2


LOSS = {"prompt": 0, "lane": 0, "nll": 1.5, "tokens": 2, "cut": False, "note": ""}
# A valid line of each reader.
READERS = {AnswerReader: line(0, 0), LossReader: LOSS}
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=3), st.lists(st.none()))


@given(data=st.data())
def test_line_with_missing_or_other_fields_counts_as_damaged(tmp_path_factory, data):
    reader, valid = data.draw(st.sampled_from(list(READERS.items())))
    names = st.sampled_from(["prompt", "lane", *reader.FIELDS])
    damaged = dict(valid)
    if data.draw(st.booleans()):
        del damaged[data.draw(names)]
    else:
        name = data.draw(names)
        kind = type(valid[name])
        damaged[name] = data.draw(VALUES.filter(lambda value: type(value) is not kind))
    if damaged.get("nll", 0) is None or type(damaged.get("nll")) is int:
        damaged["nll"] = "1.5"
    path = tmp_path_factory.mktemp("line") / "lines.jsonl"
    path.write_text(f"{json.dumps(damaged)}\nnull\n[]\n{json.dumps({**valid, 'prompt': 1})}\n")
    assert list(reader(path, 1).update().offsets) == [(1, 0)]
