"""Decide what ends an answer under a template on a tokenizer. The only place that decides it.

A probe conversation is rendered, and what follows an answer is read: in the midst of the conversation and at its end.
The first special or added token that both share is the end token. Where the tokenizer does not know it (ChatML on a
Llama tokenizer), the end is the text itself, of several tokens. A template may write nothing there; then
training appends the tokenizer's end-of-text token after the last answer, since a model that never sees an end never
stops.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.data.formats import Message
from core.data.locate import Locator, Render
from core.data.templates import TemplateError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE: list[Message] = [
    {"role": "user", "content": "first question"},
    {"role": "assistant", "content": "first answer"},
    {"role": "user", "content": "second question"},
    {"role": "assistant", "content": "second answer"},
]
_PROBES = (_PROBE, [{"role": "system", "content": "instructions"}, *_PROBE])  # some templates want a system turn


@dataclass(frozen=True)
class EndTokens:
    """What ends an answer.

    Attributes:
        texts: as the template writes them, the one of the last answer first; empty where it writes none.
        ids: the ids of those that are one token.
        stop_strings: those that are several tokens, which a decoder finds in the text.
        appended: what training appends to a last answer that the template leaves without an end.
        note: the decision in a sentence.
        warning: why the model may not stop, or an empty string.
    """

    texts: tuple[str, ...]
    ids: frozenset[int]
    stop_strings: tuple[str, ...]
    appended: str
    note: str
    warning: str = ""

    def end_of(self, text: str, at: int, limit: int) -> int | None:
        """Return where the first end between `at` and `limit` in a rendering ends, or None where there is none."""
        found = [place + len(end) for end in self.texts if (place := text.find(end, at, limit)) >= 0]
        return min(found, default=None)


def find_end_tokens(tokenizer: "PreTrainedTokenizerBase", render: Render, template: str, name: str) -> EndTokens:
    """Decide the end tokens of a template on a tokenizer."""
    tails = _tails(render, template, name)
    if tails is None:
        note = f"{name} refuses a plain conversation, so that the end of an answer is not known."
        return EndTokens((), frozenset(), (), "", note, note)
    texts = _ends(*tails, _known(tokenizer), tokenizer.bos_token)
    known = tokenizer.get_added_vocab() if texts else {}
    one = {text: known[text] for text in texts if text in known}
    stop_strings = tuple(text for text in texts if text not in one)
    eos = tokenizer.eos_token or ""
    if not texts:
        if not eos:
            text = f"{name} writes no end of an answer, and the tokenizer has no end-of-text token"
            return EndTokens((), frozenset(), (), "", f"{text}.", f"{text}: the model will not learn to stop.")
        note = f"{name} writes no end of an answer: {eos} is appended after the last one, so that the model can stop."
        return EndTokens((), frozenset({tokenizer.eos_token_id}), (), eos, note, note)
    shown = " or ".join(texts)
    if stop_strings:
        count = len(tokenizer(stop_strings[0], add_special_tokens=False)["input_ids"])
        note = f"Answers end with {shown}, which is {count} tokens of this tokenizer and not one."
        return EndTokens(texts, frozenset(one.values()), stop_strings, texts[0], note, note)
    return EndTokens(texts, frozenset(one.values()), (), texts[0], f"Answers end with {shown}.")


def special_tokens(tokenizer: "PreTrainedTokenizerBase") -> set[str]:
    """Return the tokens that decoding leaves out: those with a name, and added ones that are marked as special."""
    added = {str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return added | set(tokenizer.all_special_tokens)


def _tails(render: Render, template: str, name: str) -> tuple[str, str, str] | None:
    """Return what follows an answer in the midst of a conversation and at its end, and what opens an answer.

    None where the template refuses every probe or leaves out its turns.
    """
    for probe in _PROBES:
        try:
            located = Locator(render, template, name, probe).located
        except TemplateError:
            continue
        text, regions = located.text, {region.message - len(probe): region for region in located.regions}
        if all(message in regions for message in (-3, -2, -1)):
            between = text[regions[-3].end : regions[-2].start]
            return between, text[regions[-1].end :], text[regions[-2].end : regions[-1].start]
    return None


def _known(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern:
    """Match the special and added tokens; nothing where there are none."""
    tokens = special_tokens(tokenizer) | set(tokenizer.get_added_vocab())
    parts = sorted((re.escape(token) for token in tokens if token.strip()), key=len, reverse=True)
    return re.compile("|".join(parts) or r"(?!)")


def _ends(between: str, last: str, opening: str, known: re.Pattern, bos: str | None) -> tuple[str, ...]:
    """Return the texts that end an answer, given what stands around the answers of the probe."""
    last = "" if opening.strip().endswith(last.strip()) else last  # it opens another answer, and ends none
    in_midst, at_end = known.search(between), known.search(last)
    if at_end and in_midst and at_end.group() == in_midst.group():
        return (at_end.group(),)
    ends = [at_end.group()] if at_end else []
    # Another token in the midst ends a turn when the next turn's own marks follow it at once (gpt-oss:
    # <|end|><|start|>, and <|return|> at the end); alone, it opens the next turn.
    if in_midst and in_midst.group() != bos and known.match(between[in_midst.end() :].lstrip()):
        ends.append(in_midst.group())
    return tuple(ends or filter(None, [last.strip()]))
