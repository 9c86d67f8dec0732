"""Conversations rendered to tokens and labels, compared with chat templates."""

import copy

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.formats import Reading, to_llama2
from core.data.tokens import IGNORE_INDEX, Renderer, TemplateError

TALK = [
    {"role": "user", "content": "What is a tide?"},
    {"role": "assistant", "content": "The sea, breathing."},
    {"role": "user", "content": "Почему?"},
    {"role": "assistant", "content": "Луна тянет воду. 🌊"},
]
# Control characters and rare planes are not in every vocabulary.
letters = st.characters(codec="utf-8", exclude_categories=("C",), max_codepoint=0x1FFFF, exclude_characters="\ufffd")
words = st.text(letters, min_size=1, max_size=60).filter(lambda text: text.strip() and "<|" not in text)
talks = st.lists(st.tuples(words, words), min_size=1, max_size=3).map(
    lambda pairs: [
        {"role": role, "content": text}
        for pair in pairs
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
)


@pytest.fixture(scope="module")
def renderer(tokenizer):
    return Renderer(tokenizer)


@pytest.fixture(scope="module")
def llama2(tokenizer):
    """Return a renderer of a tokenizer without a chat template, like those of Llama 2's base models."""
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    return Renderer(bare)


def loss_text(renderer, rendered) -> str:
    return renderer.tokenizer.decode([label for label in rendered.labels if label != IGNORE_INDEX])


def test_labels_cover_answers_and_their_ends_only(renderer):
    assert loss_text(renderer, renderer.render(TALK)) == "The sea, breathing.<|im_end|>Луна тянет воду. 🌊<|im_end|>"


@settings(max_examples=60)
@given(talks)
def test_labels_of_any_conversation_decode_to_answers(renderer, talk):
    rendered = renderer.render(talk)
    assert rendered.text == renderer.render_text(talk)
    assert renderer.tokenizer.decode(rendered.input_ids) == rendered.text
    assert len(rendered.input_ids) == len(rendered.labels) == len(rendered.offsets) == len(rendered.roles)
    answers = [m["content"] for m in talk if m["role"] == "assistant"]
    # An answer that begins with white space may share its first token with the text before it.
    expected = "".join(f"{answer.strip()}<|im_end|>" for answer in answers)
    assert "".join(loss_text(renderer, rendered).split()) == "".join(expected.split())


def test_prompt_ids_equal_tokens_before_the_answer_in_training(renderer):
    ids = renderer.render(TALK).input_ids
    for turn in (1, 3):
        prompt = renderer.prompt_ids(TALK[:turn])
        assert ids[: len(prompt)] == prompt
        assert renderer.render(TALK).labels[: len(prompt)].count(IGNORE_INDEX) >= len(renderer.prompt_ids(TALK[:1]))


def test_render_with_max_length_truncates_and_reports_length(renderer):
    whole, short = renderer.render(TALK), renderer.render(TALK, max_length=30)
    assert short.input_ids == whole.input_ids[:30]
    assert short.labels == whole.labels[:30]
    assert (short.length, short.is_truncated, whole.is_truncated) == (whole.length, True, False)


def test_render_all_text_labels_everything_up_to_last_answer(renderer):
    assert IGNORE_INDEX not in renderer.render(TALK, all_text=True).labels
    assert renderer.render([*TALK, {"role": "user", "content": "And then?"}]) == renderer.render(TALK)


def test_render_empty_answer_has_no_text_labels(renderer):
    silent = [TALK[0], {"role": "assistant", "content": " "}, *TALK[2:]]
    assert loss_text(renderer, renderer.render(silent)) == "Луна тянет воду. 🌊<|im_end|>"


def test_renderer_without_template_uses_llama2(llama2):
    conversation = [{"role": "system", "content": "Be brief."}, *TALK]
    bos, eos = llama2.tokenizer.bos_token, llama2.tokenizer.eos_token
    assert llama2.template_name == "Llama 2's chat template"
    assert llama2.render_text(conversation) == to_llama2(conversation).replace("<s>", bos).replace("</s>", eos)
    assert (
        loss_text(llama2, llama2.render(conversation)).split()
        == f"The sea, breathing. {eos} Луна тянет воду. 🌊 {eos}".split()
    )


@pytest.mark.parametrize("talk", [[TALK[0], TALK[0], TALK[1]], [TALK[1], TALK[0], TALK[1]]])
def test_llama2_template_rejects_turns_out_of_order(llama2, talk):
    with pytest.raises(TemplateError, match="alternate"):
        llama2.render(talk)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}", "cannot be located"),
        (
            "{% for m in messages %}{{ m['content'] | length }}{{ m['content'] }}{% endfor %}{{ messages[1] }}",
            "located",
        ),
        ("{% for m in messages + messages %}{{ m['content'] }}{% endfor %}", "more than once"),
    ],
)
def test_render_with_unlocatable_answers_raises_template_error(tokenizer, template, reason):
    other = Renderer(tokenizer)
    other.template = template
    with pytest.raises(TemplateError, match=reason):
        other.render(TALK)


# Ends a turn in one of the templates, and a text in both.
MARK = "<|im_end|>"


@pytest.mark.parametrize("kind", ["renderer", "llama2"])
def test_render_text_with_special_tokens_is_rejected(request, kind):
    made = request.getfixturevalue(kind)
    with pytest.raises(TemplateError, match="which is a special token of the model"):
        made.render([{"role": "user", "content": f"a {MARK} b"}, TALK[1]])


def test_render_plain_text_uses_no_template_and_labels_everything(renderer):
    rendered = renderer.render([{"role": "text", "content": "The sea breathes."}])
    tokenizer = renderer.tokenizer
    assert rendered.text == f"{tokenizer.bos_token}The sea breathes.{tokenizer.eos_token}"
    assert rendered.labels == rendered.input_ids
    assert set(rendered.roles) == {"text"}


def test_chatml_template_renders_chatml(tokenizer):
    made = Renderer(tokenizer, "chatml")
    assert made.template_name == "ChatML"
    assert (
        made.render_text(TALK[:1], is_prompt=True)
        == "<|im_start|>user\nWhat is a tide?<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("name", ["auto", "llama2"])
@pytest.mark.parametrize("system", [None, "You are brief."])
def test_llama2_template_equals_model_template_token_for_token(llama2_tokenizer, name, system):
    """Compare under the real Llama 2 tokenizer, with and without a system prompt, for one and two turns."""
    made = Renderer(llama2_tokenizer, name)
    for talk in (TALK[:2], TALK):
        conversation = [{"role": "system", "content": system}, *talk] if system else talk
        own = llama2_tokenizer.apply_chat_template(conversation, tokenize=False)
        rendered = made.render(conversation)
        assert rendered.text == own == to_llama2(conversation)
        assert rendered.input_ids == llama2_tokenizer(own, add_special_tokens=False)["input_ids"]
        answers = " ".join(m["content"] + " </s>" for m in talk if m["role"] == "assistant")
        assert loss_text(made, rendered).replace(" ", "") == answers.replace(" ", "")


def test_llama2_template_renders_real_rows_to_their_own_bytes(llama2_tokenizer, shared_data):
    """Render rows in which no turn begins or ends with white space, which both templates strip."""
    texts = pq.read_table(shared_data / "guanaco-llama2-1k-train.parquet").column("text").to_pylist()
    parsed = [Reading(format="llama2").parse({"text": text}) for text in texts]
    rows = [(text, talk) for text, talk in zip(texts, parsed, strict=True)
            if talk[-1]["role"] == "assistant" and all(m["content"] == m["content"].strip() for m in talk)]  # fmt: skip
    assert len(rows) > 900
    # The two templates are compared above, so that a tenth of the rows suffices for the second.
    for made, some in ((Renderer(llama2_tokenizer), rows), (Renderer(llama2_tokenizer, "llama2"), rows[::10])):
        assert [text for text, talk in some if made.render(talk).text != text] == []
