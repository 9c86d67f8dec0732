"""Files for Ollama: a Modelfile that names the GGUF file, the chat template and what ends an answer.

Ollama renders conversations by templates of Go's text/template. Those of ChatML and of Llama 2 are written here; which
one a model needs is found by rendering a conversation with the model's own template and comparing the texts.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.data.tokens import TemplateError

if TYPE_CHECKING:
    from core.data.tokens import Renderer

GGUF_NAME = "model.gguf"
_SYSTEM, _FIRST, _ANSWER, _SECOND = "Be brief.", "What is two?", "A number.", "And three?"
_CONVERSATION = [
    {"role": "system", "content": _SYSTEM},
    {"role": "user", "content": _FIRST},
    {"role": "assistant", "content": _ANSWER},
    {"role": "user", "content": _SECOND},
]
_CHATML = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
# Ollama writes the first <s> itself. The system prompt stands in the first question only.
_LLAMA_2 = """{{- $system := "" }}{{ range $index, $message := .Messages }}
{{- if eq .Role "system" }}{{ $system = .Content }}
{{- else if eq .Role "user" }}{{ if $index }}{{ if not $system }}<s>{{ end }}{{ end }}[INST] {{ if $system }}<<SYS>>
{{ $system }}
<</SYS>>

{{ end }}{{ $system = "" }}{{ .Content }} [/INST]
{{- else }} {{ .Content }} </s>{{ end }}
{{- end }}"""


def _chatml_text() -> str:
    turns = [f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in _CONVERSATION]
    return "".join(turns) + "<|im_start|>assistant\n"


def _llama_2_text() -> str:
    return f"<s>[INST] <<SYS>>\n{_SYSTEM}\n<</SYS>>\n\n{_FIRST} [/INST] {_ANSWER} </s><s>[INST] {_SECOND} [/INST]"


# Go template and the text that it makes of `_CONVERSATION`, by name.
TEMPLATES: dict[str, tuple[str, Callable[[], str]]] = {
    "ChatML": (_CHATML, _chatml_text),
    "Llama 2": (_LLAMA_2, _llama_2_text),
}


def find_template(renderer: "Renderer") -> str | None:
    """Return the name of the Go template that renders as a model's own template does; None if none does."""
    try:
        text = renderer.render_text(_CONVERSATION, is_prompt=True)
    except TemplateError:
        return None
    return next((name for name, (_, make) in TEMPLATES.items() if make() == text), None)


def default_system(renderer: "Renderer") -> str:
    """Return the system prompt that a ChatML template adds to a conversation without one; "" if it adds none."""
    start, end = "<|im_start|>system\n", "<|im_end|>\n<|im_start|>user\n"
    text = renderer.render_text(_CONVERSATION[1:2], is_prompt=True)
    return text.removeprefix(start).partition(end)[0] if text.startswith(start) and end in text else ""


def write_modelfile(renderer: "Renderer", context: int | None) -> tuple[str, list[str]]:
    """Return a Modelfile, and notes for the user.

    Args:
        renderer: The renderer with the run's template.
        context: Tokens that the model reads; None if nothing limits them.
    """
    lines, notes = [f"FROM ./{GGUF_NAME}"], []
    name = find_template(renderer)
    if name is None:
        notes.append(
            "The chat template is neither ChatML nor Llama 2's, so the Modelfile has none: Ollama chooses one by "
            "the template in the GGUF file. Compare its first answer with the one here."
        )
    else:
        lines.append(f'TEMPLATE """{TEMPLATES[name][0]}"""')
        if system := default_system(renderer):
            lines.append(f'SYSTEM """{system}"""')
    lines += [f'PARAMETER stop "{text}"' for text in renderer.end_tokens.texts]
    if context:
        lines.append(f"PARAMETER num_ctx {context}")
    return "\n".join(lines) + "\n", notes
