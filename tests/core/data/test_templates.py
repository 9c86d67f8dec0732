"""Tests of named templates, end tokens, notes on left-out turns, the loss flag, and tokens without an embedding."""

import copy
import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from core.data.locate import Locator
from core.data.templates import CHATML_TEMPLATE, TemplateError, select_template
from core.data.tokens import IGNORE_INDEX, Renderer
from core.errors import StudioError
from core.train.batches import tokenize
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
    return FAMILY[name].tokenizer()


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def answer(text: str, **fields) -> dict:
    return {"role": "assistant", "content": text, **fields}


def renderer_of(template: str, name: str = "vicuna", *marks: str) -> Renderer:
    """Return a renderer of a template on the tokenizer of a family, with more special tokens."""
    tokenizer = FAMILY[name].tokenizer()
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    tokenizer.chat_template = template
    return Renderer(tokenizer)


def loss_text(renderer: Renderer, rendered) -> str:
    return renderer.tokenizer.decode([label for label in rendered.labels if label != IGNORE_INDEX])


# Named templates


def test_select_template_of_several_uses_default(tmp_path):
    tokenizer = FAMILY["command-r"].tokenizer()
    plain, tools = tokenizer.chat_template, "{{ 'tools: ' ~ messages[0].content }}"
    tokenizer.chat_template = {"default": plain, "tool_use": tools, "rag": "{{ 'rag' }}"}
    tokenizer.save_pretrained(tmp_path)
    assert list(tmp_path.glob("additional_chat_templates/*"))
    read = type(tokenizer).from_pretrained(tmp_path)
    for made in (tokenizer, read):
        renderer = Renderer(made)
        assert renderer.template == plain
        assert renderer.template_name == "the model's own chat template ('default', one of default, rag, tool_use)"
        assert loss_text(renderer, renderer.render(TALK)).startswith("The sea, breathing.<|END_OF_TURN_TOKEN|>")
        assert Renderer(made, "tool_use").render_text(TALK) == "tools: What is a tide?"


@pytest.mark.parametrize(
    ("own", "name", "message"),
    [
        ({"rag": "x"}, "auto", "named 'default'. Its templates are: rag"),
        ("x", "tool_use", "named 'tool_use'. Its templates are: default"),
        (None, "tool_use", "named 'tool_use'. It has no chat template"),
    ],
)
def test_select_template_with_unknown_name_is_rejected(own, name, message):
    tokenizer = FAMILY["chatml"].tokenizer()
    tokenizer.chat_template = own
    with pytest.raises(StudioError, match=message):
        select_template(tokenizer, name)


# End tokens

HARMONY = (
    "{{ '<|start|>system<|message|>Be good.<|end|>' }}{% for m in messages %}"
    "{{ '<|start|>' ~ m.role ~ '<|message|>' ~ m.content }}"
    "{{ '<|return|>' if loop.last and m.role == 'assistant' else '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)
NO_END = (
    "{% for m in messages %}{{ '### ' ~ m.role ~ ':\n' ~ m.content ~ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant:\n' }}{% endif %}"
)
ONLY_BETWEEN = (
    "{% for m in messages %}{{ '[' ~ m.role ~ ']' ~ m.content ~ ('' if loop.last else '<|end|><|next|>') }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
)
ONLY_AT_THE_END = "{% for m in messages %}{{ bos_token ~ '[' ~ m.role ~ ']' ~ m.content }}{% endfor %}{{ eos_token }}"
TEXT_END = "{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ '\n###\n' }}{% endfor %}"


@pytest.mark.parametrize(
    ("made", "texts", "expected"),
    [
        (lambda: renderer_of(HARMONY, "vicuna", "<|start|>", "<|message|>", "<|end|>", "<|return|>"),
         ("<|return|>", "<|end|>"), "<|message|>The sea, breathing.<|end|><|message|>The moon.<|return|>"),
        (lambda: renderer_of(NO_END), (), "The sea, breathing.The moon.</s>"),
        (lambda: renderer_of(ONLY_BETWEEN, "vicuna", "<|end|>", "<|next|>"),
         ("<|end|>",), "The sea, breathing.<|end|>The moon.<|end|>"),
        (lambda: renderer_of(TEXT_END), ("###",), "assistant: The sea, breathing.\n###assistant: The moon.\n###"),
    ],
)  # fmt: skip
def test_end_tokens_of_any_template_are_found_and_trained_on(made, texts, expected):
    renderer = made()
    assert renderer.end_tokens.texts == texts
    assert loss_text(renderer, renderer.render(TALK)) == expected


def test_end_tokens_only_at_the_end_ignore_the_next_turn():
    renderer = renderer_of(ONLY_AT_THE_END)
    assert renderer.end_tokens.texts == ("</s>",)
    assert loss_text(renderer, renderer.render(TALK)).endswith("The moon.</s>")


def test_end_tokens_of_several_tokens_are_stop_strings_with_warning(tokenizer):
    renderer = renderer_of(CHATML_TEMPLATE)
    assert (renderer.end_tokens.texts, renderer.end_tokens.stop_strings, renderer.end_tokens.ids) == (
        ("<|im_end|>",),
        ("<|im_end|>",),
        frozenset(),
    )
    assert "tokens of this tokenizer and not one" in renderer.end_tokens.warning
    assert loss_text(renderer, renderer.render(TALK)) == "The sea, breathing.<|im_end|>The moon.<|im_end|>"


def test_end_tokens_without_eos_are_missing_with_warning():
    renderer = renderer_of(NO_END)
    renderer.tokenizer.eos_token = None
    assert "will not learn to stop" in renderer.end_tokens.warning
    assert loss_text(renderer, renderer.render(TALK)) == "The sea, breathing.The moon."


WANTS_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHATML_TEMPLATE
)


def test_end_tokens_under_template_that_needs_system_turn_are_found():
    renderer = renderer_of(WANTS_SYSTEM, "chatml")
    assert renderer.end_tokens.texts == ("<|im_end|>",)


def test_end_tokens_under_template_that_refuses_probe_are_unknown():
    """Render a template of single questions: its end is trained on, and a warning says that the end is unknown."""
    alone = "{% if messages | length > 2 %}{{ raise_exception('one question') }}{% endif %}" + CHATML_TEMPLATE
    renderer = renderer_of(alone, "chatml")
    assert "the end of an answer is not known" in renderer.end_tokens.warning
    rendered = renderer.render(TALK[:2])
    assert rendered.text == renderer.render_text(TALK[:2])
    assert loss_text(renderer, rendered) == "The sea, breathing.<|im_end|>"


def test_end_tokens_of_llama3_base_are_eot_not_eos():
    ends = Renderer(FAMILY["llama-3"].tokenizer()).end_tokens
    tokenizer = FAMILY["llama-3"].tokenizer()
    assert ends.ids == {tokenizer.convert_tokens_to_ids("<|eot_id|>")}
    assert tokenizer.eos_token_id not in ends.ids


# What a template leaves out or writes otherwise

THOUGHT = "<think>\nHm, the moon.\n</think>\n\n"


def test_render_qwen3_notes_dropped_reasoning():
    renderer = Renderer(FAMILY["qwen3"].tokenizer())
    rendered = renderer.render([user("a"), answer(THOUGHT + "yes"), user("b"), answer(THOUGHT + "no")])
    assert loss_text(renderer, rendered) == f"yes<|im_end|>{THOUGHT}no<|im_end|>"
    assert rendered.notes == ("the chat template leaves out a part of an answer",)


def test_render_deepseek_notes_dropped_reasoning_and_prompt():
    renderer = Renderer(FAMILY["deepseek-r1-distill"].tokenizer())
    rendered = renderer.render([user("a"), answer(THOUGHT + "yes")])
    assert loss_text(renderer, rendered) == "\n\nyes<｜end▁of▁sentence｜>"
    assert rendered.notes == (
        "the chat template leaves out a part of an answer",
        "the generation prompt of the chat template ends with '<think>\\n', which this answer lacks",
    )


def test_render_notes_turns_that_the_template_leaves_out():
    renderer = Renderer(FAMILY["phi-3"].tokenizer())
    talk = [user("a"), {"role": "tool", "content": "42 degrees"}, answer("warm")]
    made = tokenize(renderer, [(0, talk), (1, TALK), (2, talk)], 256, answers_only=True)
    assert made.notes == {"the chat template leaves out a tool turn": 2}


def test_render_without_any_answer_gives_the_reason():
    """Render a template of a vision model, which expects parts and writes nothing for a text."""
    parts = "{% for m in messages %}[{{ m.role }}]{% for p in m.content %}{{ p.text }}{% endfor %}</s>{% endfor %}"
    made = tokenize(renderer_of(parts), [(0, [user("a"), answer("b")])], 256, answers_only=True)
    assert made.left_out == {
        "nothing to learn: the chat template leaves out a user turn; the chat template leaves out an answer": 1
    }


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


@pytest.mark.parametrize("special", [True, False])
def test_render_text_with_added_end_token_is_rejected(special):
    tokenizer = FAMILY["vicuna"].tokenizer()
    tokenizer.add_tokens([AddedToken("<|im_end|>", special=special, normalized=False)])
    with pytest.raises(TemplateError, match="is a special token of the model"):
        Renderer(tokenizer, "chatml").render([user("a <|im_end|> b"), answer("c")])


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
OWN = ("<think>", "</think>", "<tool_response>", "user", "assistant", "model")  # strings that templates look for
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


# The loss flag


@pytest.mark.parametrize("all_text", [False, True])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_render_answer_marked_without_loss_masks_only_its_labels(family, all_text):
    renderer = Renderer(family.tokenizer())
    marked = copy.deepcopy(TALK)
    marked[1]["loss"] = False
    rendered, plain = renderer.render(marked, all_text=all_text), renderer.render(TALK, all_text=all_text)
    assert (rendered.text, rendered.input_ids) == (plain.text, plain.input_ids)
    assert rendered.notes[-1:] == ("an answer is marked to carry no loss",)
    text = loss_text(renderer, rendered)
    assert "The sea, breathing." not in text
    assert "The moon." in text
    assert ("What is a tide?" in text) == all_text


def test_prepare_conversation_without_loss_is_left_out_with_reason():
    renderer = Renderer(FAMILY["chatml"].tokenizer())
    rows = [(0, [user("a"), answer("b", loss=False)]), (1, TALK)]
    made = tokenize(renderer, rows, 256, answers_only=True)
    assert made.left_out == {"every answer is marked to carry no loss": 1}


# Tokens that the model has no embedding for


def test_render_token_beyond_embeddings_is_rejected_by_name():
    tokenizer = FAMILY["chatml"].tokenizer()
    rows = len(tokenizer)
    tokenizer.add_tokens(["<new>"])
    renderer = Renderer(tokenizer, vocabulary=rows)
    message = f"the token '<new>' has the id {rows:,}, and the model has {rows:,} embeddings"
    made = tokenize(renderer, [(0, [user("a"), answer("b <new>")]), (1, TALK)], 256, answers_only=True)
    assert made.left_out == {message: 1}
    with pytest.raises(TemplateError, match="'<new>'"):
        renderer.prompt_ids([user("<new>")])


FAILING = [
    "{{ 1 // 0 }}",
    "{{ messages[9].content }}",
    "{{ messages.absent.name }}",
    "{% if %}",
    "{{ raise_exception('System role not supported') }}",
    "{{ messages + 1 }}",
]


@pytest.mark.parametrize("template", FAILING)
def test_render_with_failing_template_raises_template_error(template):
    renderer = renderer_of(template)
    for call in (renderer.render_text, renderer.render, renderer.prompt_ids):
        with pytest.raises(StudioError, match="the model's own chat template refuses it"):
            call(TALK)


def test_locator_with_changed_text_raises_template_error():
    with pytest.raises(TemplateError, match="changes the text of turns"):
        Locator(lambda messages, prompt: messages[0]["content"][::-1], "", "a template", [user("ab c"), answer("d")])
