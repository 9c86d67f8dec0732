"""Tests of twelve real chat templates: labels, end tokens, and generation that stops at the end token."""

from pathlib import Path

import pytest
import torch
import trl

from core.chat.lanes import Lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest
from core.data.templates import apply_template
from core.data.tokens import IGNORE_INDEX, Renderer
from core.models.loading import LoadedBase
from core.train.batches import pad, tokenize
from tests.helpers.template_families import FAMILIES, NAMES, Family, bundled, conversations
from tests.helpers.tiny_model import tiny_llama

ORIGINALS = Path(trl.__file__).parent / "chat_templates"
THINKERS = ("qwen3", "deepseek-r1-distill")


@pytest.fixture(scope="module")
def real(request):
    """Return 100 multilingual conversations of OpenAssistant, or the bundled ones if that file is absent."""
    try:
        return conversations(request.getfixturevalue("shared_data") / "openassistant_best_replies_eval.jsonl", 100)
    except pytest.skip.Exception:
        return bundled()


def loss_text(renderer, rendered) -> str:
    return renderer.tokenizer.decode([label for label in rendered.labels if label != IGNORE_INDEX])


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_labels_of_every_family_decode_to_answers_and_ends(family, real):
    renderer = Renderer(family.tokenizer())
    assert len(real) >= 100
    for talk in real:
        rendered = renderer.render(talk)
        answers = [turn["content"] for turn in talk if turn["role"] == "assistant"]
        expected = [family.written(answer, at + 1 == len(answers)) + family.end for at, answer in enumerate(answers)]
        assert loss_text(renderer, rendered) == "".join(expected)
        assert rendered.text == apply_template(renderer.tokenizer, family.template, family.name, talk)


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_end_tokens_of_every_family_are_its_own(family):
    renderer = Renderer(family.tokenizer())
    assert family.end in renderer.end_tokens.texts
    assert renderer.tokenizer.convert_tokens_to_ids(family.end) in renderer.end_tokens.ids
    assert (renderer.end_tokens.stop_strings, renderer.end_tokens.warning) == ((), "")


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.reference], ids=lambda family: family.name)
def test_stored_template_renders_like_the_original(family, real):
    tokenizer = family.tokenizer()
    original = (ORIGINALS / f"{family.reference}.jinja").read_text(encoding="utf-8")
    for talk in [
        *real[:60],
        *([[real[0][0], {"role": "assistant", "content": "<think>\nhm\n</think>\n\nyes"}, *real[1]]]),
    ]:
        for messages, prompt in ((talk, False), (talk[:-1], True)):
            own = apply_template(tokenizer, family.template, family.name, messages, prompt)
            assert own == apply_template(tokenizer, original, family.reference, messages, prompt)


def trained(family: Family, tokenizer, talk) -> Lanes:
    """Return a tiny model overfitted to one conversation."""
    model = tiny_llama(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, hidden_size=32)
    rows = tokenize(Renderer(tokenizer), [(0, talk)], 256, answers_only=True).rows
    batch = pad(rows, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return Lanes(LoadedBase(model, tokenizer))


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_generation_after_training_stops_at_the_end_token(family):
    tokenizer = family.tokenizer()
    talk = [{"role": "user", "content": "What is a tide?"}, {"role": "assistant", "content": "The sea, breathing."}]
    lanes = trained(family, tokenizer, talk)
    *_, [answer] = lanes.generate([LaneRequest(talk[:1], Sampling(temperature=0, max_new_tokens=40))])
    assert answer.end == "end"
    assert family.name in THINKERS or answer.text.strip() == "The sea, breathing."


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_bounded_rendering_equals_that_of_transformers(family, real):
    tokenizer = family.tokenizer()
    for talk in real[:5]:
        for messages, prompt in ((talk, False), (talk[:-1], True)):
            expected = tokenizer.apply_chat_template(
                messages, chat_template=family.template, tokenize=False, add_generation_prompt=prompt
            )
            assert apply_template(tokenizer, family.template, family.name, messages, prompt) == expected
