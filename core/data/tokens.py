"""Renderer of conversations to token ids and a loss mask.

There is one renderer for the whole project: the Data tab shows its output, the trainer consumes it, and the chat builds
prompts with it, so the preview, training and chat agree token by token.

1. The model's own chat template (Llama 2's if the tokenizer has none) renders the whole conversation to text.
2. `core.data.locate` finds the characters of each answer in that text.
3. The text is tokenized once. A token carries loss if it overlaps an answer or the end token of its turn
   (`core.data.end_tokens`).

An answer begins where its generation prompt ends, so the same tokens precede it in training and in chat.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from core.data import templates
from core.data.end_tokens import EndTokens, find_end_tokens, special_tokens
from core.data.formats import Message, is_plain, until_last_answer
from core.data.locate import Locator, Region, common_length
from core.data.templates import CHATML_TEMPLATE, LLAMA2_TEMPLATE, TemplateError, TemplateName
from core.models.tokenizer import check_length, encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "CHATML_TEMPLATE", "IGNORE_INDEX", "LLAMA2_TEMPLATE", "Rendered", "Renderer", "TemplateError", "TemplateName",
]  # fmt: skip

# The label that torch.nn.functional.cross_entropy ignores by default.
IGNORE_INDEX = -100
# Role, end in the text (characters, exclusive), and whether its tokens carry loss. Each span begins at the end of the
# one before it.
Span = tuple[str, int, bool]


@dataclass(frozen=True)
class Rendered:
    """A conversation as tokens with labels.

    Attributes:
        text: The rendered conversation, not truncated.
        input_ids: Token ids, truncated to the maximum length. (tokens,)
        labels: The same ids where the token carries loss, IGNORE_INDEX elsewhere. (tokens,)
        offsets: Start and end of each token in `text`, in characters. (tokens,)
        roles: Role of the message that each token belongs to. (tokens,)
        length: Number of tokens before truncation.
        notes: Sentences about parts that are left out of the text or of the loss, and about differences between the
            rendering and the generation prompt.
        is_all_masked: Whether every answer is marked to carry no loss.
    """

    text: str
    input_ids: list[int]
    labels: list[int]
    offsets: list[tuple[int, int]]
    roles: list[str]
    length: int
    notes: tuple[str, ...] = ()
    is_all_masked: bool = False

    @property
    def loss_tokens(self) -> int:
        """Return the number of tokens that carry loss; nothing predicts the first token of a row."""
        return sum(label != IGNORE_INDEX for label in self.labels[1:])

    @property
    def is_truncated(self) -> bool:
        """Return whether tokens were cut off at the maximum length."""
        return self.length > len(self.input_ids)

    def no_loss_reason(self, max_length: int) -> str | None:
        """Return why no token within `max_length` carries loss, or None if at least one does."""
        if self.loss_tokens:
            return None
        if self.is_all_masked:
            return "every answer is marked to carry no loss"
        if self.notes and not self.is_truncated:
            return f"no token carries loss: {'; '.join(self.notes)}"
        return f"no token carries loss within {max_length} tokens"


class Renderer:
    """Renderer of conversations with one tokenizer and one chat template.

    Attributes:
        tokenizer: The tokenizer.
        vocabulary: Number of rows of the model's embedding matrix, or None if unknown.
        template: Source of the chat template (Jinja).
        template_name: Name of the template for messages to the user.
    """

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", template: TemplateName = "auto", vocabulary: int | None = None
    ):
        """Choose the template.

        Args:
            tokenizer: A fast tokenizer, which gives the offsets of tokens.
            template: Name of the chat template; "auto" is the tokenizer's own, or Llama 2's if it has none.
            vocabulary: Number of rows of the model's embedding matrix, if known; token ids beyond it are refused.

        Raises:
            StudioError: The tokenizer has no template of that name.
        """
        self.tokenizer, self.vocabulary = tokenizer, vocabulary
        self.template, self.template_name = templates.select_template(tokenizer, template)
        ends, special = {tokenizer.bos_token, tokenizer.eos_token}, special_tokens(tokenizer)
        # Only special tokens that this template writes: a row may mention those of other models.
        self._special_text = sorted(token for token in special if token in ends or token in self.template)

    @cached_property
    def end_tokens(self) -> EndTokens:
        """Return the end of an answer, which is trained on and at which every decoder stops."""
        return find_end_tokens(self.tokenizer, self.render_text, self.template, self.template_name)

    def render_text(self, messages: list[Message], is_prompt: bool = False) -> str:
        """Return `messages` rendered by the chat template.

        Args:
            messages: The conversation.
            is_prompt: Whether an answer is to follow, so that the generation prompt is appended.

        Raises:
            TemplateError: The template refuses the messages.
        """
        return templates.apply_template(self.tokenizer, self.template, self.template_name, messages, is_prompt)

    def _reject_special_text(self, messages: list[Message]) -> None:
        """Raise TemplateError if a turn contains a special token as text.

        The tokenizer would convert it to the real token, so the text of a user could end a turn or start a new one.
        """
        own = [
            text
            for text in self.end_tokens.texts
            if text not in self.end_tokens.stop_strings and text not in self._special_text
        ]
        for mark in [*self._special_text, *own]:
            if any(mark in message["content"] for message in messages):
                raise TemplateError(f"a turn holds {mark!r}, which is a special token of the model")

    def render_plain(self, messages: list[Message]) -> str:
        """Return plain text between the beginning-of-text and end-of-text tokens, without a template."""
        return f"{self.tokenizer.bos_token or ''}{messages[0]['content']}{self.tokenizer.eos_token or ''}"

    def prompt_ids(self, messages: list[Message], most: int | None = None) -> list[int]:
        """Return the token ids of a conversation followed by the generation prompt.

        Args:
            messages: The conversation.
            most: Number of tokens of which far more raise a TooManyTokensError (`check_length`).
        """
        text = self.render_text(messages, is_prompt=True)
        if most is not None:
            check_length(self.tokenizer, text, most)
        ids = self._encode(text)["input_ids"]
        self._reject_unknown_ids(ids)
        return ids

    def render(self, messages: list[Message], max_length: int | None = None, all_text: bool = False) -> Rendered:
        """Return the tokens and labels of a whole conversation; turns after the last answer are left out.

        Args:
            messages: The conversation.
            max_length: Number of tokens at which the row is truncated; None for no limit.
            all_text: Compute the loss over all tokens instead of the answers only; an answer marked `loss: False`
                carries none in either case.

        Raises:
            TemplateError: The template refuses the conversation, the answers cannot be located in its rendering, or
                the model has no embedding for one of the tokens.
        """
        messages = until_last_answer(messages)
        self._reject_special_text(messages)
        notes: list[str] = []
        if is_plain(messages):
            text = self.render_plain(messages)
            has_loss = messages[0].get("loss") is not False
            spans, masked = [("text", len(text), has_loss)], [] if has_loss else [(0, len(text))]
        else:
            text, spans, masked = self._locate_spans(messages, notes)
        # The template has written the beginning-of-text token where the model expects one.
        encoded = self._encode(text, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        self._reject_unknown_ids(ids)
        roles, in_loss = zip(*_label_tokens(offsets, spans), strict=True) if ids else ((), ())
        if all_text:
            in_loss = [not any(low < end and start < high for low, high in masked) for start, end in offsets]
        labels = [token if carries_loss else IGNORE_INDEX for token, carries_loss in zip(ids, in_loss, strict=True)]
        kept = slice(0, max_length)
        shown = ids[kept], labels[kept], offsets[kept], list(roles[kept])
        return Rendered(text, *shown, len(ids), tuple(dict.fromkeys(notes)), _are_all_masked(messages))

    def _encode(self, text: str, **options: bool) -> Mapping[str, Any]:
        try:
            return encode(self.tokenizer, text, **options)
        except ValueError as error:
            raise TemplateError(str(error)) from error

    def _reject_unknown_ids(self, ids: list[int]) -> None:
        if self.vocabulary is None or not ids or max(ids) < self.vocabulary:
            return
        token = self.tokenizer.convert_ids_to_tokens(max(ids))
        raise TemplateError(
            f"the token {token!r} has the id {max(ids):,}, and the model has {self.vocabulary:,} embeddings"
        )

    def _locate_spans(self, messages: list[Message], notes: list[str]) -> tuple[str, list[Span], list[tuple[int, int]]]:
        """Return the text, the spans that cover it, and the (start, end) of answers without loss; add to `notes`."""
        locator = Locator(self.render_text, self.template, self.template_name, messages)
        text, regions = locator.located.text, locator.located.regions
        notes += locator.located.notes
        spans: list[Span] = []
        # `turn_end` is the end of the turn before: everything up to it belongs to a span.
        masked, turn_end, is_merged = [], 0, False
        for index, region in enumerate(regions):
            message = messages[region.message]
            is_last = index + 1 == len(regions)
            following = len(text) if is_last else regions[index + 1].start
            if message["role"] != "assistant":
                turn_end = _turn_end(text, region.end, following, self.end_tokens)
                spans.append((message["role"], turn_end, False))
                is_merged = False
                continue
            # Some templates merge consecutive answers into one turn; then the model also writes what joins them.
            start = turn_end if is_merged else self._answer_start(locator, region, turn_end, notes)
            # White space at the end of the answer that the template has kept is part of the answer.
            end = region.end + common_length(region.trail, text[region.end : following])
            closed_at = self.end_tokens.end_of(text, end, following)
            if closed_at is None and is_last:
                # The template writes no end token after the last answer; without one, a model would not learn to stop.
                text = text[:end] + self.end_tokens.appended if self.end_tokens.appended else text
                following = len(text)
                closed_at = max(end, len(text.rstrip()))
            is_merged = closed_at is None
            end = end if is_merged else closed_at
            has_loss = message.get("loss") is not False
            turn_end = _turn_end(text, end, following, self.end_tokens)
            spans += [("assistant", start, False), ("assistant", end, has_loss), ("assistant", turn_end, False)]
            if not has_loss:
                masked.append((start, end))
                notes.append("an answer is marked to carry no loss")
        spans.append((messages[-1]["role"], len(text), False))
        return text, spans, masked

    def _answer_start(self, locator: Locator, region: Region, turn_end: int, notes: list[str]) -> int:
        """Return where an answer begins in the text: at the end of its generation prompt."""
        text = locator.located.text
        opened_at, missing = locator.generation_prompt_end(region.message)
        if missing:
            notes.append(f"the generation prompt of the chat template ends with {missing!r}, which this answer lacks")
        if opened_at is not None:
            return opened_at
        # Without a usable generation prompt, the answer begins with those of its leading spaces that the text holds.
        before = text[turn_end : region.start][::-1]
        return region.start - common_length(region.lead[::-1], before)


def _are_all_masked(messages: list[Message]) -> bool:
    answers = [message for message in messages if message["role"] in ("assistant", "text")]
    return bool(answers) and all(message.get("loss") is False for message in answers)


def _turn_end(text: str, at: int, following: int, ends: EndTokens) -> int:
    """Return the end of a turn whose content ends at `at`, with its end token and the white space after that.

    Args:
        text: The rendering.
        at: End of the content.
        following: Start of the next content, or the end of the text.
        ends: The end tokens of the template.
    """
    closed_at = ends.end_of(text, at, following)
    if closed_at is None and following < len(text):
        return at
    at = at if closed_at is None else closed_at
    return at + len(text[at:following]) - len(text[at:following].lstrip())


def _label_tokens(offsets: list[tuple[int, int]], spans: list[Span]) -> Iterator[tuple[str, bool]]:
    """Yield the role of each token and whether it carries loss, which it does if it overlaps a span with loss.

    Tokens and spans are both in the order of the text, so one pass over the spans serves all tokens.
    """
    first = 0
    for start, end in offsets:
        while first + 1 < len(spans) and start >= spans[first][1]:
            first += 1
        # A token may reach across spans (the space before an answer): the first one with loss takes it.
        own = first
        while not spans[own][2] and own + 1 < len(spans) and spans[own][1] < end:
            own += 1
        own = own if spans[own][2] else first
        yield spans[own][0], spans[own][2]
