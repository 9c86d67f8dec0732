"""The renderer: from a conversation to token ids and a loss mask. The only one there is.

The data tab shows its output, the trainer feeds on it, the chat builds its prompts with it, so that what is previewed
is what trains and what is asked. The text comes from the model's own chat template; a tokenizer without one gets
Llama 2's. The text of the whole conversation is tokenized once, and a token carries loss when it begins inside an
answer, the answer's end-of-turn token included.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.data.formats import Message, is_plain, until_last_answer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label that torch's cross-entropy leaves out

# Meta's documented chat form for Llama 2, with the roles checked, for base models that bring no template.
LLAMA2_TEMPLATE = (
    "{%- set ns = namespace(system='', expect='user') -%}"
    "{%- for m in messages -%}"
    "{%- if m['role'] == 'system' and loop.first -%}"
    "{%- set ns.system = '<<SYS>>\n' ~ m['content'] ~ '\n<</SYS>>\n\n' -%}"
    "{%- elif m['role'] != ns.expect -%}"
    "{{- raise_exception('turns must alternate between user and assistant, starting with user') -}}"
    "{%- elif m['role'] == 'user' -%}"
    "{{- bos_token ~ '[INST] ' ~ ns.system ~ m['content'] ~ ' [/INST]' -}}"
    "{%- set ns.system = '' -%}{%- set ns.expect = 'assistant' -%}"
    "{%- else -%}"
    "{{- ' ' ~ m['content'] ~ ' ' ~ eos_token -}}"
    "{%- set ns.expect = 'user' -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
)
CHATML_TEMPLATE = (
    "{%- for m in messages -%}{{- '<|im_start|>' ~ m['role'] ~ '\n' ~ m['content'] ~ '<|im_end|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
TemplateName = Literal["auto", "llama2", "chatml"]
_TEMPLATES = {"llama2": (LLAMA2_TEMPLATE, "Llama 2's chat template"), "chatml": (CHATML_TEMPLATE, "ChatML")}


class TemplateError(ValueError):
    """The chat template cannot render a conversation; the message says why."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model sees it.

    Attributes:
        text: the rendered conversation.
        input_ids: one id a token, cut at the maximum length.
        labels: the same ids where the token carries loss, -100 elsewhere.
        offsets: start and end of each token in `text`, in characters.
        roles: the role of the message that each token belongs to.
        length: the number of tokens before the cut.
    """

    text: str
    input_ids: list[int]
    labels: list[int]
    offsets: list[tuple[int, int]]
    roles: list[str]
    length: int

    @property
    def learns(self) -> int:
        """How many tokens carry loss. The first token of a row is never predicted."""
        return sum(label != IGNORED for label in self.labels[1:])

    @property
    def truncated(self) -> bool:
        return self.length > len(self.input_ids)


class Renderer:
    """Renders conversations with one tokenizer and its chat template."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", template: TemplateName = "auto"):
        """
        Args:
            template: "auto" is the tokenizer's own chat template, or Llama 2's where it has none.
        """
        self.tokenizer = tokenizer
        if template == "auto" and tokenizer.chat_template:
            self.template, self.template_name = tokenizer.chat_template, "the model's own chat template"
        else:
            self.template, self.template_name = _TEMPLATES["llama2" if template == "auto" else template]
        ends = {tokenizer.bos_token, tokenizer.eos_token}
        self._marks = [t for t in tokenizer.all_special_tokens if t in ends or t in self.template]

    def text(self, messages: list[Message], prompt: bool = False) -> str:
        """`messages` in the chat template; with `prompt`, followed by whatever opens an answer.

        Raises TemplateError when the template refuses them.
        """
        from jinja2 import TemplateError as JinjaError

        try:
            return self.tokenizer.apply_chat_template(
                messages, chat_template=self.template, tokenize=False, add_generation_prompt=prompt
            )
        except (JinjaError, TypeError, KeyError, IndexError) as error:
            raise TemplateError(f"{self.template_name} refuses it: {error}") from error

    def _refuse_marks(self, messages: list[Message]) -> None:
        """Text that spells the model's own marks would end a turn, or begin one, in the midst of what somebody said."""
        for mark in self._marks:
            if any(mark in message["content"] for message in messages):
                raise TemplateError(f"a turn holds {mark!r}, which the model reads as a mark of its own")

    def plain(self, messages: list[Message]) -> str:
        """Plain text between the tokens that begin and end a text, in no template."""
        return f"{self.tokenizer.bos_token or ''}{messages[0]['content']}{self.tokenizer.eos_token or ''}"

    def prompt_ids(self, messages: list[Message]) -> list[int]:
        """Token ids that ask for the next answer."""
        return self.tokenizer(self.text(messages, prompt=True), add_special_tokens=False)["input_ids"]

    def render(self, messages: list[Message], max_length: int | None = None, all_text: bool = False) -> Rendered:
        """Tokens and loss mask of a whole conversation; turns after the last answer are left out.

        Args:
            max_length: tokens past this are cut off.
            all_text: every token carries loss, not the answers' alone.

        Raises:
            TemplateError: the template refuses the conversation, or rewrites earlier turns as it grows, so that no
                token can be said to belong to an answer.
        """
        messages = until_last_answer(messages)
        self._refuse_marks(messages)
        text = self.plain(messages) if is_plain(messages) else self.text(messages)
        spans = [("text", len(text), True)] if is_plain(messages) else self._spans(messages, text)
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        labels, roles, at = [], [], 0
        for token, (start, _) in zip(ids, offsets, strict=True):
            while at + 1 < len(spans) and start >= spans[at][1]:
                at += 1
            role, _, learned = spans[at]
            labels.append(token if learned or all_text else IGNORED)
            roles.append(role)
        cut = slice(0, max_length)
        return Rendered(text, ids[cut], labels[cut], offsets[cut], roles[cut], len(ids))

    def _spans(self, messages: list[Message], text: str) -> list[tuple[str, int, bool]]:
        """Consecutive (role, end in characters, carries loss) that cover `text`."""
        spans: list[tuple[str, int, bool]] = []
        for index, message in enumerate(messages):
            last = index + 1 == len(messages)
            if message["role"] != "assistant":
                # A system turn alone may not render (Llama 2 puts it inside the user turn): it ends with the next one.
                if message["role"] == "user":
                    spans.append(("user", len(self._prefix(messages[: index + 1], text, prompt=False)), False))
                continue
            opened = len(self._prefix(messages[:index], text, prompt=True))
            closed = len(text if last else self._prefix(messages[: index + 1], text, prompt=False))
            answer_end = opened + len(text[opened:closed].rstrip())
            says_something = bool(message["content"].strip())  # nothing is learned from an empty answer
            spans += [("assistant", opened, False), ("assistant", answer_end, says_something)]
            spans.append(("assistant", closed, False))
        return spans

    def _prefix(self, messages: list[Message], text: str, prompt: bool) -> str:
        prefix = self.text(messages, prompt=prompt)
        if not text.startswith(prefix):
            raise TemplateError(f"{self.template_name} rewrites earlier turns as the conversation grows")
        return prefix
