"""Tests of locating answers in rendered text: answers that occur elsewhere, merged or empty ones, any texts."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.locate import Locator
from core.data.templates import TemplateError
from core.data.tokens import Renderer
from tests.helpers.rendering import FAMILY, THOUGHT, answer, loss_text, renderer_of, small, user

MERGING = (
    "{% set ns = namespace(last='') %}{% for m in messages %}"
    "{{ '\n\n' if m.role == ns.last else ('<|end|>' if ns.last else '') ~ '<|' ~ m.role ~ '|>' }}"
    "{{ m.content | trim }}{% set ns.last = m.role %}{% endfor %}{{ '<|end|>' }}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.mark.parametrize(
    ("talk", "expected"),
    [
        ([user("yes"), answer("yes"), user("yes"), answer("yes")], "yes<|im_end|>yes<|im_end|>"),
        ([user("say user"), answer("user"), user("assistant"), answer("assistant\n")], 
         "user<|im_end|>assistant\n<|im_end|>"),
        ([user("a"), answer("  two\n\n"), user("b"), answer("\ufeffbom")], "  two\n\n<|im_end|>\ufeffbom<|im_end|>"),
        ([user("a"), answer(""), user("b"), answer("b")], "b<|im_end|>"),
        ([user("a"), answer("\U000f0000\U000f0001 private"), user("b"), answer("c")],
         "\U000f0000\U000f0001 private<|im_end|>c<|im_end|>"),
        ([user("a"), {"role": "tool", "content": "a"}, answer("a"), answer("a")], "a<|im_end|>a<|im_end|>"),
        ([{"role": "system", "content": "x"}, user("x"), answer("x")], "x<|im_end|>"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("family", ["chatml", "qwen2"])
def test_locator_finds_answers_that_occur_elsewhere(family, talk, expected):
    renderer = Renderer(FAMILY[family].tokenizer())
    assert loss_text(renderer, renderer.render(talk)) == expected


def test_locator_finds_answers_that_a_template_merges():
    renderer = renderer_of(MERGING, "phi-3")
    talk = [user("one"), user("two"), answer(" three "), answer("four"), user("five"), answer("six")]
    assert (
        renderer.render_text(talk)
        == "<|user|>one\n\ntwo<|end|><|assistant|>three\n\nfour<|end|><|user|>five<|end|><|assistant|>six<|end|>"
    )
    assert loss_text(renderer, renderer.render(talk)) == "three\n\nfour<|end|>six<|end|>"


def test_locator_finds_or_refuses_answer_equal_to_template_literal():
    """Use answers that are strings for which Qwen3's template searches."""
    renderer = Renderer(FAMILY["qwen3"].tokenizer())
    with pytest.raises(TemplateError, match="cannot be located"):
        renderer.render([user("a"), answer(THOUGHT + "b"), user("c"), answer("</think>")])


def test_locator_with_changed_text_raises_template_error():
    with pytest.raises(TemplateError, match="changes the text of turns"):
        Locator(lambda messages, prompt: messages[0]["content"][::-1], "", "a template", [user("ab c"), answer("d")])


def qwen3_writes(content: str, last: bool) -> str:
    thought = content.split("</think>")[0].split("<think>")[-1] if "</think>" in content else ""
    answer = content.split("</think>")[-1]
    return f"<think>{thought}</think>{answer}" if last else answer


WRITERS = {
    "chatml": lambda content, last: content,
    "llama-2": lambda content, last: content,
    "gemma": lambda content, last: content,
    "deepseek-r1-distill": lambda content, last: content.split("</think>")[-1],
    "qwen3": qwen3_writes,
}
pieces = [
    "<think>",
    "</think>",
    "user",
    "assistant",
    "\n",
    " ",
    "yes",
    "model",
    "ab",
    "<tool_response>",
    "é🌊",
    "[/INST]",
]
# Strings that templates look for.
OWN = ("<think>", "</think>", "<tool_response>", "user", "assistant", "model")
contents = st.lists(st.sampled_from(pieces), min_size=1, max_size=5).map("".join)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(contents, contents), min_size=1, max_size=3))
def test_labels_of_any_answers_decode_to_them_or_are_refused(name, pairs):
    """Compare without white space, which templates strip and tokens merge; a left-out answer has no labels."""
    renderer = Renderer(small(name))
    talk = [turn for question, reply in pairs for turn in (user(question), answer(reply))]
    refusal = None
    try:
        rendered = renderer.render(talk)
    except TemplateError as error:
        refusal = str(error)
    if refusal is not None:
        assert "cannot be located" in refusal
        assert name in ("qwen3", "deepseek-r1-distill")
        assert any("</think>" in reply for _, reply in pairs)
        return
    assert rendered.text == renderer.render_text(talk)
    written = [WRITERS[name](reply, at + 1 == len(pairs)) for at, (_, reply) in enumerate(pairs)]
    empty = ("", "<think></think>") if name == "qwen3" else ("",)
    expected = [text + FAMILY[name].end for text in written if "".join(text.split()) not in empty]
    got = "".join(loss_text(renderer, rendered).split())
    expected = ["".join(text.split()) for text in expected]
    if got != "".join(expected):
        # An answer cut down to the template's own strings may be left out of the loss; then a note reports it.
        own = re.compile("(?:" + "|".join(map(re.escape, OWN)) + ")*" + re.escape(FAMILY[name].end))
        parts = [f"(?:{re.escape(text)}){'?' if own.fullmatch(text) else ''}" for text in expected]
        assert re.fullmatch("".join(parts), got)
        assert "the chat template leaves out an answer" in rendered.notes
