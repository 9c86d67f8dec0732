"""Chat templates: the two built-in ones, the templates of a tokenizer, and their rendering to text.

The template of a tokenizer is foreign code that runs in Jinja's sandbox, within a budget of time and memory
(`core.models.bounded_jinja`): any exception that it raises becomes a TemplateError with the reason.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from core.data.formats import Message
from core.errors import StudioError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Meta's reference code (llama/generation.py, chat_completion) encodes each pair on its own as
# f"{B_INST} {(prompt['content']).strip()} {E_INST} {(answer['content']).strip()} " between bos and eos. The system
# prompt becomes part of the first prompt before that strip. The order of roles is checked there, too.
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
# Errors that a template raises beside Jinja's own, also by calling itself or by asking for too much memory.
_REFUSALS = (
    TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError, SyntaxError,
)  # fmt: skip
# The templates of the families in the tests have 60 strings at most; a content is searched for all of them.
_MAX_LITERALS = 1000


class TemplateError(StudioError, ValueError):
    """The chat template cannot render a conversation; the message gives the reason."""


def select_template(tokenizer: "PreTrainedTokenizerBase", name: TemplateName) -> tuple[str, str]:
    """Return the source of a template and its name for messages to the user.

    A tokenizer may have several templates by name, as a list in its configuration or as files in
    `additional_chat_templates/`. "auto" selects the one named "default"; "tool_use" is used only on request.

    Args:
        tokenizer: The tokenizer.
        name: "auto", "tool_use" or a built-in template.

    Raises:
        StudioError: The tokenizer has no template of that name.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    own = tokenizer.chat_template or {}
    named = own if isinstance(own, dict) else {"default": own}
    wanted = "default" if name == "auto" else name
    # The name mentions the other templates only if there are any.
    if wanted in named:
        return named[wanted], _OWN if len(named) == 1 else f"{_OWN} ({wanted!r}, one of {', '.join(sorted(named))})"
    if name == "auto" and not named:
        return _BUILT_IN["llama2"]
    available = f"Its templates are: {', '.join(sorted(named))}." if named else "It has no chat template."
    # Only names that the setting takes and this tokenizer has.
    usable = [*(["auto"] if "default" in named or not named else []), *(["tool_use"] if "tool_use" in named else [])]
    *first, last = [*usable, *_BUILT_IN]
    raise StudioError(
        f"The tokenizer has no chat template named {wanted!r}. {available} Set the chat template to "
        f"{', '.join(first)} or {last}."
    )


def apply_template(
    tokenizer: "PreTrainedTokenizerBase", template: str, name: str, messages: list[Message], is_prompt: bool = False
) -> str:
    """Return `messages` rendered by `template`.

    Args:
        tokenizer: The tokenizer, which supplies its special tokens to the template.
        template: Source of the template.
        name: Name of the template in the error message.
        messages: The conversation.
        is_prompt: Whether an answer is to follow, so that the generation prompt is appended.

    Raises:
        TemplateError: The template refuses the messages, or fails on them.
    """
    from jinja2 import TemplateError as JinjaError

    from core.models.bounded_jinja import compile_template

    # Templates expect these two fields only: `loss` is ours.
    turns = [{"role": message["role"], "content": message["content"]} for message in messages]
    if not turns:
        raise TemplateError(f"{name} is given no messages")
    try:
        text = compile_template(template).render(turns, is_prompt, tokenizer.special_tokens_map)
        # Half of a surrogate pair, which a template may write, is no character of a text.
        text.encode()
    except _REFUSALS as error:
        raise TemplateError(f"{name} refuses the conversation: {error or type(error).__name__}") from error
    except JinjaError as error:
        raise TemplateError(f"{name} refuses the conversation: {error}") from error
    return text


@lru_cache(maxsize=64)
def string_literals(template: str) -> tuple[str, ...]:
    """Return the string literals in the code of a template, which it may search for in a content, longest first.

    Raises:
        TemplateError: There are too many literals.
    """
    from jinja2 import Environment

    found = set()
    for _, kind, value in Environment().lex(template):
        if kind == "string":
            found.add(value[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape"))
    if len(found) > _MAX_LITERALS:
        raise TemplateError(f"the template has {len(found):,} strings, and at most {_MAX_LITERALS:,} are searched for")
    return tuple(sorted((text for text in found if text.strip()), key=lambda text: (-len(text), text)))
