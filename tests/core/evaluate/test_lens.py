"""Likelihoods of answers, compared with the losses of the same texts and with transformers."""

import json

import pytest
import torch

from core.chat import forward
from core.chat.forward import TargetText, token_losses
from core.chat.lanes import Lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest
from core.data.tokens import IGNORE_INDEX
from core.evaluate.answers_file import AnswerReader
from core.evaluate.lens import OTHER_TEMPLATE, AnswerLosses, LensReader
from core.evaluate.line_file import LineWriter
from core.evaluate.prompts import Prompts
from core.models.loading import LoadedBase
from tests.helpers.tiny_model import make_adapter, tiny_llama

ADAPTER = "run/final"
CONTEXT = 120
QUESTIONS = ["What is a knot?", "Where does it sail?", "word " * 200, "A probe?"]
ANSWERS = {
    (0, 0): "A knot holds a rope.\nIt is 🙂.", (0, 1): "Ahoy", (1, 0): "sea " * 200, (1, 1): "", (2, 0): "Too late.",
    (3, 0): "A probe is not read.",
}  # fmt: skip


@pytest.fixture(scope="module")
def lanes(tmp_path_factory, small_tokenizer):
    model = tiny_llama(vocab_size=len(small_tokenizer), max_position_embeddings=CONTEXT)
    folder = make_adapter(model, tmp_path_factory.mktemp("adapter") / "a", rank=4, seed=1, scale=1.0)
    lanes = Lanes(LoadedBase(model, small_tokenizer), fast=False)
    lanes.add_adapter(ADAPTER, folder)
    return lanes


@pytest.fixture
def make(lanes, tmp_path):
    """Return a function that makes the computation for the prompts and answers above."""
    path = tmp_path / "prompts.jsonl"
    rows = [{"messages": [{"role": "user", "content": text}], "row": at} for at, text in enumerate(QUESTIONS)]
    rows[3]["probe"] = 0
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    LineWriter(tmp_path / "answers.jsonl").write(
        {"prompt": prompt, "lane": lane, "text": text, "tokens": 3, "end": "end", "note": "", "exact": None, "f1": None}
        for (prompt, lane), text in ANSWERS.items()
    )
    answers = AnswerReader(tmp_path / "answers.jsonl", 2).update()

    def losses(template="auto"):
        requests = [LaneRequest([], Sampling()), LaneRequest([], Sampling(), ADAPTER, template)]
        return AnswerLosses(lanes, requests, Prompts(path), answers)

    return losses


def compute(losses, done=(), may_continue=lambda: True):
    lines = [line for batch in losses.compute(losses.list_missing(done), may_continue) for line in batch]
    return {(line["prompt"], line["lane"]): line for line in lines}


def test_losses_of_an_answer_are_those_of_token_losses_and_transformers(lanes, make):
    lines = compute(make())
    assert sorted(lines) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)], "the probe is left out"
    for key in [(0, 0), (0, 1), (1, 0)]:
        line = lines[key]
        messages = [{"role": "user", "content": QUESTIONS[key[0]]}, {"role": "assistant", "content": ANSWERS[key]}]
        rendered = lanes.renderer().render(messages, CONTEXT)
        for lane, adapter in enumerate((None, ADAPTER)):
            text = TargetText(rendered.input_ids, rendered.labels, adapter)
            [[(_, alone)]] = token_losses(lanes, [text])
            assert line["losses"][lane] == pytest.approx(alone, abs=1e-4)
            assert sum(line["losses"][lane]) == pytest.approx(alone.sum(), abs=1e-3)
        assert line["losses"][0] != line["losses"][1]
        labels = torch.tensor([rendered.labels])
        with torch.no_grad():
            mean = lanes.model(input_ids=torch.tensor([rendered.input_ids]), labels=labels).loss.item()
        assert sum(line["losses"][0]) / len(line["losses"][0]) == pytest.approx(mean, rel=1e-4)
        assert len(line["tokens"]) == (labels != IGNORE_INDEX).sum() == len(line["losses"][0])
        assert line["cut"] == (key == (1, 0))
    assert "".join(lines[0, 1]["tokens"]).startswith("Ahoy")


def test_answers_that_cannot_be_read_have_a_note(make):
    lines = compute(make())
    assert (lines[1, 1]["losses"], lines[1, 1]["note"]) == ([None, None], "there is no text.")
    assert "before the answer fills the model's context" in lines[2, 0]["note"]


def test_lane_with_another_template_has_no_losses_of_the_same_tokens(make):
    line = compute(make("llama2"))[0, 0]
    assert (line["losses"][0] is None, line["losses"][1] is None, line["note"]) == (False, True, OTHER_TEMPLATE)


def test_lens_is_resumed_without_repetition_after_a_stop_and_a_torn_line(make, tmp_path, monkeypatch):
    # Each text is a batch of its own.
    monkeypatch.setitem(forward.BATCH_TOKENS, "cpu", 1)
    path, losses = tmp_path / "lens.jsonl", make()
    whole = compute(losses)
    steps = iter([True, True, False])
    first = compute(losses, may_continue=lambda: next(steps, False))
    assert 0 < len(first) < len(whole)
    LineWriter(path).write(first.values())
    with path.open("ab") as stream:
        stream.write(b'{"prompt": 0, "lane": 1, "tokens": ["Ah')
    writer = LineWriter(path)
    writer.write(compute(losses, LensReader(path, 2).update().offsets).values())
    reader = LensReader(path, 2).update()
    assert sorted(reader.offsets) == sorted(whole)
    assert len(path.read_text().splitlines()) == len(whole)
    assert reader.read(0)[0]["losses"][1] == pytest.approx(whole[0, 0]["losses"][1], abs=1e-4)
    assert losses.list_missing(reader.offsets) == []


def test_lens_reader_leaves_out_damaged_lines(tmp_path):
    path = tmp_path / "lens.jsonl"
    path.write_text('{"prompt": 0, "lane": 0, "tok\n[]\n{"prompt": 0, "lane": 1, "tokens": [], "losses": []}\n')
    assert list(LensReader(path, 2).update().offsets) == [(0, 1)]
