"""A conversation, tokenizers of model families, and renderers of any chat template, for tests of rendering."""

from functools import cache

from tokenizers import AddedToken

from core.data.tokens import IGNORE_INDEX, Renderer
from tests.helpers.template_families import FAMILIES

FAMILY = {family.name: family for family in FAMILIES}
TALK = [
    {"role": "user", "content": "What is a tide?"},
    {"role": "assistant", "content": "The sea, breathing."},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "The moon."},
]


@cache
def small(name: str):
    """Return the tokenizer of a family, made once; do not change it."""
    return FAMILY[name].tokenizer()


def user(text: str) -> dict:
    """Return a user turn."""
    return {"role": "user", "content": text}


def answer(text: str, **fields) -> dict:
    """Return an assistant turn."""
    return {"role": "assistant", "content": text, **fields}


def renderer_of(template: str, name: str = "vicuna", *marks: str) -> Renderer:
    """Return a renderer of a template on the tokenizer of a family, with more special tokens."""
    tokenizer = FAMILY[name].tokenizer()
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    tokenizer.chat_template = template
    return Renderer(tokenizer)


def loss_text(renderer: Renderer, rendered) -> str:
    """Return the text of the tokens that carry loss."""
    return renderer.tokenizer.decode([label for label in rendered.labels if label != IGNORE_INDEX])


# An answer that begins with reasoning, as Qwen3 and DeepSeek-R1 write it.
THOUGHT = "<think>\nHm, the moon.\n</think>\n\n"
