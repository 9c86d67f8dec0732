"""The renderer: from a conversation to token ids and a loss mask. The only one there is.

The data tab shows its output, the trainer feeds on it, the chat builds its prompts with it, so that what is previewed
is what trains and what is asked. The text comes from the model's own chat template; a tokenizer without one gets
Llama 2's. The text of the whole conversation is tokenized once. The answers are located in that text
(`core.data.locate`), and a token carries loss when it overlaps an answer or the end of its turn
(`core.data.end_tokens`). An answer reaches from where its generation prompt ends, so that what precedes it in training
is what precedes it in a chat.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from core.data import templates
from core.data.end_tokens import EndTokens, find_end_tokens, special_tokens
from core.data.formats import Message, is_plain, until_last_answer
from core.data.locate import Locator, Region, common_length
from core.data.templates import CHATML_TEMPLATE, LLAMA2_TEMPLATE, TemplateError, TemplateName

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "CHATML_TEMPLATE", "IGNORE_INDEX", "LLAMA2_TEMPLATE", "Rendered", "Renderer", "TemplateError", "TemplateName",
]  # fmt: skip

IGNORE_INDEX = -100  # the label that torch's cross-entropy leaves out
Span = tuple[str, int, bool]  # role, end in characters, carries loss


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model sees it.

    Attributes:
        text: the rendered conversation.
        input_ids: one id per token, cut at the maximum length.
        labels: the same ids where the token carries loss, -100 elsewhere.
        offsets: start and end of each token in `text`, in characters.
        roles: the role of the message that each token belongs to.
        length: the number of tokens before the cut.
        notes: what is left out of the text or of the loss, or written otherwise than it is asked, in words.
        all_masked: every answer is marked to carry no loss.
    """

    text: str
    input_ids: list[int]
    labels: list[int]
    offsets: list[tuple[int, int]]
    roles: list[str]
    length: int
    notes: tuple[str, ...] = ()
    all_masked: bool = False

    @property
    def loss_tokens(self) -> int:
        """How many tokens carry loss. The first token of a row is never predicted."""
        return sum(label != IGNORE_INDEX for label in self.labels[1:])

    @property
    def truncated(self) -> bool:
        return self.length > len(self.input_ids)

    def no_loss_reason(self, max_length: int) -> str | None:
        """Return why no token within `max_length` carries loss, or None when one does."""
        if self.loss_tokens:
            return None
        if self.all_masked:
            return "every answer is marked to carry no loss"
        if self.notes and not self.truncated:
            return f"nothing to learn: {'; '.join(self.notes)}"
        return f"nothing to learn within {max_length} tokens"


class Renderer:
    """Renders conversations with one tokenizer and its chat template."""

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", template: TemplateName = "auto", vocabulary: int | None = None
    ):
        """
        Args:
            template: "auto" is the tokenizer's own chat template, or Llama 2's where it has none.
            vocabulary: rows of the model's embedding matrix, where known; a token beyond them is refused.

        Raises:
            StudioError: the tokenizer has no template of that name.
        """
        self.tokenizer, self.vocabulary = tokenizer, vocabulary
        self.template, self.template_name = templates.select_template(tokenizer, template)
        ends, special = {tokenizer.bos_token, tokenizer.eos_token}, special_tokens(tokenizer)
        self._marks = sorted(token for token in special if token in ends or token in self.template)

    @cached_property
    def end_tokens(self) -> EndTokens:
        """The end of an answer, which training learns and every decoder stops at."""
        return find_end_tokens(self.tokenizer, self.render_text, self.template, self.template_name)

    def render_text(self, messages: list[Message], prompt: bool = False) -> str:
        """Return `messages` in the chat template; with `prompt`, followed by what opens an answer.

        Raises:
            TemplateError: the template refuses them.
        """
        return templates.apply_template(self.tokenizer, self.template, self.template_name, messages, prompt)

    def _reject_special_text(self, messages: list[Message]) -> None:
        """Text that spells the model's own marks would end a turn, or begin one, in the midst of what somebody said."""
        own = [
            text
            for text in self.end_tokens.texts
            if text not in self.end_tokens.stop_strings and text not in self._marks
        ]
        for mark in [*self._marks, *own]:
            if any(mark in message["content"] for message in messages):
                raise TemplateError(f"a turn holds {mark!r}, which the model reads as a mark of its own")

    def render_plain(self, messages: list[Message]) -> str:
        """Plain text between the tokens that begin and end a text, in no template."""
        return f"{self.tokenizer.bos_token or ''}{messages[0]['content']}{self.tokenizer.eos_token or ''}"

    def prompt_ids(self, messages: list[Message]) -> list[int]:
        """Token ids that ask for the next answer."""
        ids = self.tokenizer(self.render_text(messages, prompt=True), add_special_tokens=False)["input_ids"]
        self._reject_unknown_ids(ids)
        return ids

    def render(self, messages: list[Message], max_length: int | None = None, all_text: bool = False) -> Rendered:
        """Return tokens and loss mask of a whole conversation; turns after the last answer are left out.

        Args:
            max_length: tokens past this are cut off.
            all_text: every token carries loss, not the answers' alone; an answer marked `loss: False` never does.

        Raises:
            TemplateError: the template refuses the conversation, the answers cannot be located in its rendering, or
                the model has no embedding for one of the tokens.
        """
        messages = until_last_answer(messages)
        self._reject_special_text(messages)
        notes: list[str] = []
        if is_plain(messages):
            text = self.render_plain(messages)
            spoken = messages[0].get("loss") is not False
            spans, silent = [("text", len(text), spoken)], [] if spoken else [(0, len(text))]
        else:
            text, spans, silent = self._locate_spans(messages, notes)
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        self._reject_unknown_ids(ids)
        roles, learned = zip(*_label_tokens(offsets, spans), strict=True) if ids else ((), ())
        if all_text:
            learned = [not any(low < end and start < high for low, high in silent) for start, end in offsets]
        labels = [token if carries else IGNORE_INDEX for token, carries in zip(ids, learned, strict=True)]
        cut = slice(0, max_length)
        answers = [message for message in messages if message["role"] in ("assistant", "text")]
        all_masked = bool(answers) and all(message.get("loss") is False for message in answers)
        return Rendered(
            text,
            ids[cut],
            labels[cut],
            offsets[cut],
            list(roles[cut]),
            len(ids),
            tuple(dict.fromkeys(notes)),
            all_masked,
        )

    def _reject_unknown_ids(self, ids: list[int]) -> None:
        if self.vocabulary is None or not ids or max(ids) < self.vocabulary:
            return
        token = self.tokenizer.convert_ids_to_tokens(max(ids))
        raise TemplateError(
            f"the token {token!r} has the id {max(ids):,}, and the model has {self.vocabulary:,} embeddings"
        )

    def _locate_spans(self, messages: list[Message], notes: list[str]) -> tuple[str, list[Span], list[tuple[int, int]]]:
        """Return the text, spans that cover it, and the (start, end) of answers without loss."""
        locator = Locator(self.render_text, self.template, self.template_name, messages)
        text, regions = locator.located.text, locator.located.regions
        notes += locator.located.notes
        spans: list[Span] = []
        silent, done, joined = [], 0, False
        for at, region in enumerate(regions):
            message = messages[region.message]
            following = regions[at + 1].start if at + 1 < len(regions) else len(text)
            if message["role"] != "assistant":
                done = _turn_end(text, region.end, following, self.end_tokens)
                spans.append((message["role"], done, False))
                joined = False
                continue
            # A template may merge answers that follow each other: then the model writes what joins them.
            start = done if joined else self._answer_start(locator, region, done, notes)
            end = region.end + common_length(region.trail, text[region.end : following])
            closed = self.end_tokens.end_of(text, end, following)
            if closed is None and at + 1 == len(regions):
                text = text[:end] + self.end_tokens.appended if self.end_tokens.appended else text
                following = len(text)
                closed = max(end, len(text.rstrip()))
            joined = closed is None
            end = end if joined else closed
            spoken = message.get("loss") is not False
            done = _turn_end(text, end, following, self.end_tokens)
            spans += [("assistant", start, False), ("assistant", end, spoken), ("assistant", done, False)]
            if not spoken:
                silent.append((start, end))
                notes.append("an answer is marked to carry no loss")
        spans.append((messages[-1]["role"], len(text), False))
        return text, spans, silent

    def _answer_start(self, locator: Locator, region: Region, done: int, notes: list[str]) -> int:
        text = locator.located.text
        opened, lacking = locator.opening(region.message)
        if lacking:
            notes.append(f"the chat template opens an answer with {lacking!r} when it asks, which this answer lacks")
        if opened is not None:
            return opened
        before = text[done : region.start][::-1]
        return region.start - common_length(region.lead[::-1], before)


def _turn_end(text: str, at: int, following: int, ends: EndTokens) -> int:
    """Return where a turn ends whose content ends at `at`: behind its end and the white space after it."""
    closed = ends.end_of(text, at, following)
    if closed is None and following < len(text):
        return at
    at = at if closed is None else closed
    return at + len(text[at:following]) - len(text[at:following].lstrip())


def _label_tokens(offsets: list[tuple[int, int]], spans: list[Span]) -> Iterator[tuple[str, bool]]:
    """Yield the role of each token and whether it carries loss: it does when it overlaps a span that does."""
    at = 0
    for start, end in offsets:
        while at + 1 < len(spans) and start >= spans[at][1]:
            at += 1
        own = at
        while not spans[own][2] and own + 1 < len(spans) and spans[own][1] < end:
            own += 1
        own = own if spans[own][2] else at
        yield spans[own][0], spans[own][2]
