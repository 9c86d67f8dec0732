"""Chat templates: the built-in ones, the choice among those that a tokenizer brings, and their rendering to text.

A tokenizer's template is foreign code in Jinja's sandbox: whatever it raises becomes a TemplateError with the reason.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from core.data.formats import Message
from core.errors import StudioError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Meta's reference code (llama/generation.py, chat_completion) encodes each pair alone as
# f"{B_INST} {(prompt['content']).strip()} {E_INST} {(answer['content']).strip()} " between bos and eos. The system
# prompt becomes part of the first prompt before that strip. Roles are checked, as they are there.
LLAMA2_TEMPLATE = (
    "{%- set ns = namespace(system='', expect='user') -%}"
    "{%- for m in messages -%}"
    "{%- if m['role'] == 'system' and loop.first -%}"
    "{%- set ns.system = '<<SYS>>\n' ~ m['content'] ~ '\n<</SYS>>\n\n' -%}"
    "{%- elif m['role'] != ns.expect -%}"
    "{{- raise_exception('turns must alternate between user and assistant, starting with user') -}}"
    "{%- elif m['role'] == 'user' -%}"
    "{{- bos_token ~ '[INST] ' ~ (ns.system ~ m['content']).strip() ~ ' [/INST]' -}}"
    "{%- set ns.system = '' -%}{%- set ns.expect = 'assistant' -%}"
    "{%- else -%}"
    "{{- ' ' ~ m['content'].strip() ~ ' ' ~ eos_token -}}"
    "{%- set ns.expect = 'user' -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
)
CHATML_TEMPLATE = (
    "{%- for m in messages -%}{{- '<|im_start|>' ~ m['role'] ~ '\n' ~ m['content'] ~ '<|im_end|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
TemplateName = Literal["auto", "tool_use", "llama2", "chatml"]
_BUILT_IN = {"llama2": (LLAMA2_TEMPLATE, "Llama 2's chat template"), "chatml": (CHATML_TEMPLATE, "ChatML")}
_OWN = "the model's own chat template"


class TemplateError(StudioError, ValueError):
    """The chat template cannot render a conversation; the message gives the reason."""


def select_template(tokenizer: "PreTrainedTokenizerBase", name: TemplateName) -> tuple[str, str]:
    """Return the source of a template and its name in words.

    A tokenizer may bring several templates by name, as a list in its configuration or as files under
    `additional_chat_templates/`. "auto" takes the one named "default"; "tool_use" is taken only on request.

    Raises:
        StudioError: the tokenizer has no template of that name.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    own = tokenizer.chat_template or {}
    named = own if isinstance(own, dict) else {"default": own}
    wanted = "default" if name == "auto" else name
    if wanted in named:
        return named[wanted], _OWN if len(named) == 1 else f"{_OWN} ({wanted!r}, one of {', '.join(sorted(named))})"
    if name == "auto" and not named:
        return _BUILT_IN["llama2"]
    there = f"Its templates are: {', '.join(sorted(named))}." if named else "It has no chat template."
    raise StudioError(
        f"The tokenizer has no chat template named {wanted!r}. {there} Set the chat template to llama2, chatml or one "
        "that the model has."
    )


def apply_template(
    tokenizer: "PreTrainedTokenizerBase", template: str, name: str, messages: list[Message], prompt: bool = False
) -> str:
    """Return `messages` as `template` writes them.

    Args:
        name: the template's name in words, for the error.
        prompt: append what opens an answer.

    Raises:
        TemplateError: the template refuses the messages, or fails on them.
    """
    from jinja2 import TemplateError as JinjaError

    turns = [{"role": message["role"], "content": message["content"]} for message in messages]
    try:
        return tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=prompt
        )
    except (JinjaError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise TemplateError(f"{name} refuses it: {error}") from error


@lru_cache(maxsize=64)
def string_literals(template: str) -> tuple[str, ...]:
    """Return the string constants in the code of a template, the longest first: what it may look for in a content."""
    from jinja2 import Environment

    found = set()
    for _, kind, value in Environment().lex(template):
        if kind == "string":
            found.add(value[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape"))
    return tuple(sorted((text for text in found if text.strip()), key=lambda text: (-len(text), text)))
