"""The end of an answer: end tokens of templates and models, and stop words that may contain special tokens."""

import pytest
import torch

from core.chat.lanes import Lanes
from core.chat.sampling import Sampling
from core.chat.stops import StopConditions
from core.chat.types import LaneRequest
from core.data.end_tokens import EndTokens
from core.errors import StudioError
from core.evaluate.batch_generate import BatchGenerator
from core.evaluate.prompts import Prompt
from core.models.loading import LoadedBase
from tests.helpers.template_families import FAMILIES
from tests.helpers.tiny_model import tiny_llama

FAMILY = {family.name: family for family in FAMILIES}
NOTHING = EndTokens((), frozenset(), (), "", "")
QUESTION = [{"role": "user", "content": "What is a tide?"}]


@pytest.fixture(scope="module")
def chatml():
    return FAMILY["chatml"].tokenizer()


@pytest.mark.parametrize(
    ("words", "text", "end", "before"),
    [
        (["sea"], "The sea, breathing", "stop word", "The "),
        (["ing", "sea"], "The sea, breathing", "stop word", "The "),
        (["<|im_end|>\nQ"], "The sea<|im_end|>\nQ", "stop word", "The sea"),
        (["sea<|im_start|>"], "<|im_end|>The sea<|im_start|>", "stop word", "The "),
        (["shore"], "The sea<|im_end|>", "", "The sea"),
    ],
)
def test_stop_word_is_found_with_and_without_special_tokens(chatml, words, text, end, before):
    stops = StopConditions(chatml, [], NOTHING, words)
    ids = chatml(text, add_special_tokens=False)["input_ids"]
    plain, raw = (chatml.decode(ids, skip_special_tokens=skip) for skip in (True, False))
    assert stops.find(plain, raw) == (end, before)
    assert stops.max_chars == max(len(word) for word in words)


def test_stop_word_that_is_a_special_token_ends_at_the_token(chatml):
    stops = StopConditions(chatml, [2], NOTHING, ["<|im_end|>"])
    token = chatml.convert_tokens_to_ids("<|im_end|>")
    assert (stops.at_token(token), stops.at_token(2), stops.at_token(5)) == ("stop word", "end", "")
    assert StopConditions(chatml, [token], NOTHING, ["<|im_end|>"]).at_token(token) == "end"


class ScriptedHead(torch.nn.Module):
    """The output layer of a model that writes given tokens, whatever it reads."""

    def __init__(self, ids: list[int], vocabulary: int):
        super().__init__()
        self.ids, self.vocabulary, self.at = ids, vocabulary, 0

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*hidden.shape[:-1], self.vocabulary)
        logits[..., self.ids[min(self.at, len(self.ids) - 1)]] = 1.0
        self.at += 1
        return logits


def lanes_that_write(text: str, tokenizer) -> Lanes:
    """Return lanes of a tiny model that answers every prompt with a given text."""
    model = tiny_llama(vocab_size=len(tokenizer), tie_word_embeddings=False, eos_token_id=None)
    # Lanes probes the model, so the scripted layer is set afterwards.
    lanes = Lanes(LoadedBase(model, tokenizer))
    model.lm_head = ScriptedHead(tokenizer(text, add_special_tokens=False)["input_ids"], len(tokenizer))
    return lanes


def in_chat(lanes: Lanes, lane: LaneRequest) -> tuple[str, str]:
    *_, [answer] = lanes.generate([lane])
    return answer.end, answer.text


def in_evaluation(lanes: Lanes, lane: LaneRequest) -> tuple[str, str]:
    generator = BatchGenerator(lanes, [lane], [Prompt(QUESTION)])
    missing = generator.list_missing([])
    [line] = [line for lines in generator.generate(missing, generator.plan_batch(64), lambda: True) for line in lines]
    return line["end"], line["text"]


@pytest.mark.parametrize("ask", [in_chat, in_evaluation])
@pytest.mark.parametrize(
    ("name", "template", "written"),
    [
        ("vicuna", "chatml", "The sea.<|im_end|>\n<|im_start|>user"),
        ("qwen2", "auto", "The sea.<|im_end|>\nmore"),
        ("llama-3", "auto", "The sea.<|eot_id|>more"),
        ("gemma", "auto", "The sea.<end_of_turn>\nmore"),
        ("phi-3", "auto", "The sea.<|end|>more"),
        ("llama-3", "auto", "The sea.<|end_of_text|>more"),
    ],
)
def test_answer_ends_at_the_templates_end_and_at_eos(ask, name, template, written):
    lanes = lanes_that_write(written, FAMILY[name].tokenizer())
    lane = LaneRequest(QUESTION, Sampling(temperature=0, max_new_tokens=40), template=template)
    assert ask(lanes, lane) == ("end", "The sea.")


def test_template_that_refuses_the_system_prompt_gives_the_reason_in_chat_and_evaluation():
    lanes = lanes_that_write("x", FAMILY["gemma"].tokenizer())
    lane = LaneRequest(QUESTION, Sampling(system="Be brief."))
    with pytest.raises(StudioError, match=r"System role not supported\. Change the system prompt"):
        lanes.render_prompt(lane)
    generator = BatchGenerator(lanes, [lane], [Prompt(QUESTION)])
    assert generator.list_missing([]) == []
    [line] = generator.failures
    assert "System role not supported" in str(line)


def test_pad_token_outside_the_matrix_pads_prompts_of_unequal_length():
    tokenizer = FAMILY["mistral"].tokenizer()
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    lanes = Lanes(LoadedBase(tiny_llama(vocab_size=rows), tokenizer))
    assert tokenizer.pad_token_id == rows
    requests = [
        LaneRequest([{"role": "user", "content": text}], Sampling(temperature=0, max_new_tokens=3))
        for text in ("a", "b c d")
    ]
    together = [answer.ids for answer in list(lanes.generate(requests))[-1]]
    assert together == [list(lanes.generate([lane]))[-1][0].ids for lane in requests]
    with pytest.raises(StudioError, match="the token '<pad>' has the id"):
        lanes.render_prompt(LaneRequest([{"role": "user", "content": "<pad>"}], Sampling()))
