"""End tokens of an answer under a chat template, for training, chat and evaluation.

A probe conversation is rendered, and the text after an answer is examined, both in the middle of the conversation and
at its end. The first special or added token in it is the end token. If the tokenizer does not know the template's token
(ChatML on a Llama tokenizer), the end is that text, which takes several tokens. If the template writes nothing there,
training appends the tokenizer's end-of-text token to the last answer: a model that never sees an end never stops.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.data.formats import Message
from core.data.locate import Locator, Render
from core.data.templates import TemplateError
from core.models.tokenizer import encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE: list[Message] = [
    {"role": "user", "content": "first question"},
    {"role": "assistant", "content": "first answer"},
    {"role": "user", "content": "second question"},
    {"role": "assistant", "content": "second answer"},
]
# Some templates require a system turn.
_PROBES = (_PROBE, [{"role": "system", "content": "instructions"}, *_PROBE])


@dataclass(frozen=True)
class EndTokens:
    """End of an answer under one template and tokenizer.

    Attributes:
        texts: The ends that the template writes, that of the last answer first; empty if it writes none.
        ids: Ids of the ends that are a single token.
        stop_strings: Ends that are several tokens; a decoder has to search for them in the text.
        appended: Text that training appends to a last answer which the template does not end.
        note: The decision in one sentence.
        warning: Why the model may not stop; "" if it will.
    """

    texts: tuple[str, ...]
    ids: frozenset[int]
    stop_strings: tuple[str, ...]
    appended: str
    note: str
    warning: str = ""

    def end_of(self, text: str, at: int, limit: int) -> int | None:
        """Return the position after the first end in `text[at:limit]`, or None if there is none."""
        found = [start + len(end) for end in self.texts if (start := text.find(end, at, limit)) >= 0]
        return min(found, default=None)


def find_end_tokens(tokenizer: "PreTrainedTokenizerBase", render: Render, template: str, name: str) -> EndTokens:
    """Find the end tokens of a template on a tokenizer.

    Args:
        tokenizer: The tokenizer.
        render: Function from messages, and whether to append a generation prompt, to text.
        template: Source of the template.
        name: Name of the template in notes.
    """
    tails = _render_tails(render, template, name)
    if tails is None:
        note = f"{name} refuses a plain conversation, so the end of an answer is not known."
        return EndTokens((), frozenset(), (), "", note, note)
    texts = _find_ends(*tails, _special_token_pattern(tokenizer), tokenizer.bos_token)
    known = tokenizer.get_added_vocab() if texts else {}
    one = {text: known[text] for text in texts if text in known}
    stop_strings = tuple(text for text in texts if text not in one)
    eos = tokenizer.eos_token or ""
    if not texts:
        if not eos:
            text = f"{name} writes no end of an answer, and the tokenizer has no end-of-text token"
            return EndTokens((), frozenset(), (), "", f"{text}.", f"{text}: the model will not learn to stop.")
        note = f"{name} writes no end of an answer: {eos} is appended to the last one, so that the model can stop."
        return EndTokens((), frozenset({tokenizer.eos_token_id}), (), eos, note, note)
    shown = " or ".join(texts)
    if stop_strings:
        count = len(encode(tokenizer, stop_strings[0])["input_ids"])
        note = f"Answers end with {shown}, which is {count} tokens of this tokenizer and not one."
        return EndTokens(texts, frozenset(one.values()), stop_strings, texts[0], note, note)
    return EndTokens(texts, frozenset(one.values()), (), texts[0], f"Answers end with {shown}.")


def special_tokens(tokenizer: "PreTrainedTokenizerBase") -> set[str]:
    """Return the tokens that decoding skips: those with a name (eos, bos, …) and added ones marked as special."""
    added = {str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return added | set(tokenizer.all_special_tokens)


def _render_tails(render: Render, template: str, name: str) -> tuple[str, str, str] | None:
    """Return three texts: after an answer in the middle of a conversation, after the last one, and before an answer.

    Returns None if the template refuses all probes or leaves out some of their turns.
    """
    for probe in _PROBES:
        try:
            located = Locator(render, template, name, probe).located
        except TemplateError:
            continue
        # Keys count from the end, so both probes have the same ones: -3 and -1 are the answers, -2 is a question.
        text, regions = located.text, {region.message - len(probe): region for region in located.regions}
        if all(message in regions for message in (-3, -2, -1)):
            between = text[regions[-3].end : regions[-2].start]
            return between, text[regions[-1].end :], text[regions[-2].end : regions[-1].start]
    return None


def _special_token_pattern(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern:
    """Return a pattern of the special and added tokens; it matches nothing if there are none."""
    tokens = special_tokens(tokenizer) | set(tokenizer.get_added_vocab())
    parts = sorted((re.escape(token) for token in tokens if token.strip()), key=len, reverse=True)
    return re.compile("|".join(parts) or r"(?!)")


def _find_ends(between: str, last: str, opening: str, special: re.Pattern, bos: str | None) -> tuple[str, ...]:
    """Return the texts that end an answer, that of the last answer first.

    Args:
        between: The text between an answer and the next question.
        last: The text after the last answer.
        opening: The text between a question and its answer.
        special: Pattern of the special and added tokens.
        bos: The beginning-of-text token.
    """
    # Some templates always append a generation prompt: that opens another answer and ends none.
    last = "" if opening.strip().endswith(last.strip()) else last
    in_middle, at_end = special.search(between), special.search(last)
    if at_end and in_middle and at_end.group() == in_middle.group():
        return (at_end.group(),)
    ends = [at_end.group()] if at_end else []
    # A different token in the middle ends a turn if another special token follows directly (gpt-oss: <|end|><|start|>,
    # with <|return|> at the end). Otherwise it opens the next turn.
    if in_middle and in_middle.group() != bos and special.match(between[in_middle.end() :].lstrip()):
        ends.append(in_middle.group())
    return tuple(ends or filter(None, [last.strip()]))
