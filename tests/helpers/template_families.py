"""Twelve chat templates of model families, each with the special tokens and the end of its family.

The sources are in tests/helpers/templates/. Each is tested on a small byte-level tokenizer with the family's tokens.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from core.data import sources
from core.data.formats import Message, Reading

FOLDER = Path(__file__).parent / "templates"
VOCABULARY = 800


def as_it_is(answer: str, last: bool) -> str:
    """Return the answer unchanged."""
    return answer


def stripped(answer: str, last: bool) -> str:
    """Return the answer without surrounding white space."""
    return answer.strip()


def spaced(answer: str, last: bool) -> str:
    """Return the answer between single spaces."""
    return f" {answer.strip()} "


def behind_colon(answer: str, last: bool) -> str:
    """Return the answer after a space."""
    return f" {answer}"


def thinking(answer: str, last: bool) -> str:
    """Return the answer with empty reasoning before it if it is the last one."""
    return "<think>\n\n</think>\n\n" + answer.lstrip("\n") if last else answer


@dataclass(frozen=True)
class Family:
    """Chat template of a model family with the expected results.

    Attributes:
        name: Name of the family and of the template's file.
        bos: Beginning-of-text token.
        eos: End-of-text token.
        end: Token that ends an answer.
        marks: Special tokens of the template.
        written: Function from an answer, and whether it is the last, to its text after the generation prompt.
        ends: All tokens that end an answer; empty if `end` is the only one.
        reference: File of TRL's copy of the original template, if there is one.
    """

    name: str
    bos: str | None
    eos: str
    end: str
    marks: tuple[str, ...] = ()
    written: Callable[[str, bool], str] = as_it_is
    ends: tuple[str, ...] = ()
    reference: str = ""

    @property
    def template(self) -> str:
        """Return the source of the template."""
        return (FOLDER / f"{self.name}.jinja").read_text(encoding="utf-8")

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the small tokenizer with the tokens and the template of this family."""
        backend = Tokenizer.from_str(_small().to_str())
        names = dict.fromkeys([*filter(None, (self.bos, self.eos)), *self.marks])
        backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
        made = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=self.bos, eos_token=self.eos)
        made.chat_template = self.template
        return made


CHATML = ("<|im_start|>", "<|im_end|>")
LLAMA3 = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
COMMAND_R = (
    "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>",
)  # fmt: skip
FAMILIES = [
    Family("llama-2", "<s>", "</s>", "</s>", written=spaced),
    Family("llama-3", "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", LLAMA3, stripped, reference="llama3"),
    Family("mistral", "<s>", "</s>", "</s>"),
    Family("zephyr", "<s>", "</s>", "</s>"),
    Family("chatml", "<s>", "</s>", "<|im_end|>", CHATML),
    Family("qwen2", None, "<|endoftext|>", "<|im_end|>", CHATML),
    Family("qwen3", None, "<|endoftext|>", "<|im_end|>", CHATML, thinking, reference="qwen3"),
    Family(
        "gemma", "<bos>", "<eos>", "<end_of_turn>", ("<start_of_turn>", "<end_of_turn>"), stripped, reference="gemma"
    ),
    Family(
        "phi-3", "<s>", "<|endoftext|>", "<|end|>", ("<|end|>", "<|user|>", "<|assistant|>", "<|system|>"),
        reference="phi3",
    ),
    Family(
        "deepseek-r1-distill", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜end▁of▁sentence｜>",
        ("<｜User｜>", "<｜Assistant｜>"), reference="deepseek_r1_distill",
    ),
    Family(
        "command-r", "<BOS_TOKEN>", "<EOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", COMMAND_R, stripped, reference="cohere"
    ),
    Family("vicuna", "<s>", "</s>", "</s>", written=behind_colon),
]  # fmt: skip
NAMES = [family.name for family in FAMILIES]


@cache
def _small() -> Tokenizer:
    """Return a byte-level BPE of 800 tokens, trained on the bundled rows."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=letters, show_progress=False)
    made.train_from_iterator((turn["content"] for talk in bundled() for turn in talk), trainer)
    return made


@cache
def bundled() -> list[list[Message]]:
    """Return the bundled conversations."""
    return conversations(sources.BUNDLED_FOLDER / "train.jsonl", 200)


def conversations(path: Path, count: int) -> list[list[Message]]:
    """Return the first conversations of a Guanaco file that alternate and end on an answer."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        talk = Reading(format="guanaco").parse(json.loads(line))
        roles = [turn["role"] for turn in talk]
        if roles == ["user", "assistant"] * (len(talk) // 2):
            found.append(talk)
    return found[:count]
