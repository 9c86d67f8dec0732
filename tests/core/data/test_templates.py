"""Tests of named templates, end tokens, notes on left-out turns, the loss flag, and tokens without an embedding."""

import copy
import re
from typing import get_args

import pytest
from tokenizers import AddedToken, Regex, pre_tokenizers

from core.data.templates import CHATML_TEMPLATE, TemplateError, TemplateName, select_template
from core.data.tokens import Renderer
from core.errors import StudioError
from core.train.batches import tokenize
from tests.helpers.rendering import FAMILY, TALK, THOUGHT, answer, loss_text, renderer_of, user
from tests.helpers.template_families import FAMILIES

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


def is_usable(tokenizer, name):
    try:
        return bool(select_template(tokenizer, name))
    except StudioError:
        return False


@pytest.mark.parametrize(
    ("own", "name", "message"),
    [
        ({"rag": "x"}, "auto", "named 'default'. Its templates are: rag"),
        ({"rag": "x", "tool_use": "x"}, "auto", "named 'default'. Its templates are: rag, tool_use"),
        ("x", "tool_use", "named 'tool_use'. Its templates are: default"),
        (None, "tool_use", "named 'tool_use'. It has no chat template"),
    ],
)
def test_select_template_with_unknown_name_is_rejected(own, name, message):
    tokenizer = FAMILY["chatml"].tokenizer()
    tokenizer.chat_template = own
    with pytest.raises(StudioError, match=message) as refused:
        select_template(tokenizer, name)
    offered = re.findall(r"\w+", str(refused.value).rpartition(" to ")[2].replace(" or ", " "))
    assert len(offered) >= 2
    assert offered == [one for one in get_args(TemplateName) if is_usable(tokenizer, one)]


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


# Texts that a template leaves out or writes otherwise


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
        "no token carries loss: the chat template leaves out a user turn; the chat template leaves out an answer": 1
    }


@pytest.mark.parametrize("special", [True, False])
def test_render_text_with_added_end_token_is_rejected(special):
    tokenizer = FAMILY["vicuna"].tokenizer()
    tokenizer.add_tokens([AddedToken("<|im_end|>", special=special, normalized=False)])
    with pytest.raises(TemplateError, match="is a special token of the model"):
        Renderer(tokenizer, "chatml").render([user("a <|im_end|> b"), answer("c")])


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
        with pytest.raises(StudioError, match="the model's own chat template refuses the conversation"):
            call(TALK)


@pytest.mark.parametrize(
    "template",
    [
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
        "{{ 'x' * 10**18 }}", "{{ 'x'|center(10**18) }}", "{{ messages[0].content ~ '\\ud800' }}",
    ],
    ids=["calls itself", "nested", "repeated", "padded", "surrogate"],
)  # fmt: skip
def test_render_of_a_hostile_template_is_a_template_error(template):
    tokenizer = FAMILY["chatml"].tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(TemplateError, match="the model's own chat template refuses the conversation"):
        Renderer(tokenizer).render_text(TALK)


@pytest.mark.parametrize(
    "pattern",
    [pre_tokenizers.FixedLength(0), pre_tokenizers.Split(Regex("(a+)+$"), "isolated")],
    ids=["length", "pattern"],
)
def test_render_with_a_tokenizer_that_panics_is_a_template_error(pattern):
    tokenizer = FAMILY["chatml"].tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = pattern
    with pytest.raises(TemplateError, match="the tokenizer fails on it"):
        Renderer(tokenizer).render([user("a" * 30 + "!"), answer("Yes.")])
