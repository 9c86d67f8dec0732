"""Answers of the embedded model by the CUDA decoder on a GPU, against transformers' generate."""

import itertools
import json
import os
from pathlib import Path

import pytest
import torch

from core.chat.sampling import Sampling

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]

# by its path: core.data.sources reads with DuckDB, which a GPU host may lack
BUNDLED = Path(__file__).parents[2] / "core" / "data" / "bundled" / "keeper" / "train.jsonl"


@pytest.fixture(scope="module")
def embedded_folder(request):
    """Return the embedded model's folder, or the one that STUDIO_TEST_MODEL names on a machine without an index."""
    given = os.environ.get("STUDIO_TEST_MODEL")
    return Path(given) if given else request.getfixturevalue("embedded_model")


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tokens", "least"), [("float32", 24, 99), ("bfloat16", 12, 0)])
def test_lanes_100_greedy_answers_of_the_embedded_model_equal_generate(embedded_folder, dtype, tokens, least):
    """In float32 token by token.

    In bf16 two tokens are often equally likely to the last of its 8 bits, and another order of summation then gives the
    other one; so does transformers with another attention. There each difference must be such a tie, and their number
    is printed beside that of transformers' eager attention.
    """
    from core.chat.lanes import Lanes
    from core.chat.types import LaneRequest
    from core.models.catalogue import Model
    from core.models.loading import Precision, load_base

    def load(**options):
        return load_base(Model("m", "m", str(embedded_folder), True), Precision("none", compute_dtype=dtype), **options)

    lanes, plain, eager = Lanes(load()), load().model.eval(), load(attention="eager").model.eval()
    assert "one CUDA graph" in lanes.decoding_note
    questions, sampling = read_questions(), Sampling(temperature=0, max_new_tokens=tokens)
    stops, same, same_eager = lanes.stop_conditions(LaneRequest(questions[0], sampling)), 0, 0
    for start in range(0, 100, 8):
        *_, answers = lanes.generate([LaneRequest(messages, sampling) for messages in questions[start : start + 8]])
        for messages, answer in zip(questions[start : start + 8], answers, strict=True):
            ids = lanes.renderer().prompt_ids(messages)
            expected = generate_ids(plain, ids, tokens, stops.at_token)
            same += expected == answer.ids
            same_eager += expected == generate_ids(eager, ids, tokens, stops.at_token)
            if expected != answer.ids:
                at = next(n for n, (a, b) in enumerate(itertools.zip_longest(expected, answer.ids)) if a != b)
                assert_near_tie(plain, ids + expected[:at], answer.ids[at : at + 1])
    print(f"{dtype}: {same} of 100 answers are transformers'; with eager attention {same_eager} of its own are")
    assert same >= least


def read_questions():
    """Return a hundred questions of the bundled data, each as a conversation."""
    with BUNDLED.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(100), strict=False)]
    texts = [row["text"].split("### ")[1].removeprefix("Human: ").strip() for row in rows]
    return [[{"role": "user", "content": text}] for text in texts]


@torch.inference_mode()
def generate_ids(model, ids, tokens, is_end):
    """Return the tokens that transformers generates, without the end."""
    given = torch.tensor([ids], device="cuda")
    out = model.generate(given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=tokens)
    return [token for token in out[0, len(ids) :].tolist() if not is_end(token)]


@torch.inference_mode()
def assert_near_tie(model, ids, other):
    """Assert that the most likely token after `ids`, or the end, leads the other by at most two steps of bf16."""
    logits = model(torch.tensor([ids], device="cuda")).logits[0, -1].float()
    token = other[0] if other else model.generation_config.eos_token_id
    assert logits.max() - logits[token] <= 2**-6 * logits.abs().max()
