"""Greedy texts of llama.cpp from F16 files against those of transformers in float32.

The package llama-cpp-python is optional. The hundred texts of the embedded model take minutes.
"""

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.data import sources
from core.data.readers import read_rows
from core.data.tokens import Renderer
from core.export.base_weights import WeightFiles
from core.export.gguf_file import write_gguf
from core.export.llama_quantize import is_installed
from core.export.merge import MergedModel
from core.models import catalogue, embedded
from core.models.loading import Precision, load_tokenizer
from core.runs import example
from core.runs.store import RunStore
from core.settings import Settings
from tests.helpers.exports import write_tiny_run
from tests.helpers.greedy import greedy_ids
from tests.helpers.tiny_model import tiny_llama

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_installed(), reason="llama-cpp-python is optional: it compiles for minutes"),
]
PROMPTS, WORDS, TOKENS = 100, 40, 32
FLOAT32 = Precision("none", compute_dtype="float32")


def questions():
    """Return the first questions of bundled conversations, shortened."""
    rows = [read.row["text"] for read in read_rows(sources.BUNDLED_FOLDER / "train.jsonl", "train.jsonl")]
    asked = [text.split("### ")[1].removeprefix("Human: ").split() for text in rows[:PROMPTS]]
    return [" ".join(words[:WORDS]) for words in asked]


def find_parting(model, ids, expected, answer):
    """Return at which token two answers part, and by how much, in logits, the model prefers its own there."""
    first = next(at for at, (own, other) in enumerate(zip(expected, answer, strict=False)) if own != other)
    with torch.no_grad():
        logits = model(torch.tensor([ids + expected[:first]])).logits[0, -1]
    return first, float(logits[expected[first]] - logits[answer[first]])


def compare_greedy(merged, renderer, path):
    """Write a merged model as F16, ask it and the model in transformers, and return where answers part."""
    import llama_cpp

    write_gguf(merged, "F16", path, "tuned", lambda share, stage: None, renderer.template)
    model = AutoModelForCausalLM.from_pretrained(merged.source.model.path, dtype=torch.float32).eval()
    model.load_state_dict({name: merged.read(name).float() for name in merged.names}, strict=False)
    # By default llama.cpp keeps keys and values in F16, so that more near ties are decided otherwise.
    cache = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
    theirs = llama_cpp.Llama(str(path), n_ctx=512, n_threads=1, n_threads_batch=1, verbose=False, **cache)
    eos, partings = renderer.tokenizer.eos_token_id, []
    for question in questions():
        ids, answer = renderer.prompt_ids([{"role": "user", "content": question}]), []
        theirs.reset()
        for token in theirs.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
            if token == eos or len(answer) == TOKENS:
                break
            answer.append(token)
        expected = greedy_ids(model, ids, TOKENS, eos, answer)
        if answer != expected:
            partings.append(find_parting(model, ids, [*expected, eos], [*answer, eos]))
    theirs.close()
    print(f"{PROMPTS - len(partings)} of {PROMPTS} texts are equal; the others part at {partings}")
    return partings


@pytest.mark.timeout(3600)
def test_greedy_texts_of_the_example_run_are_those_of_transformers(studio, tmp_path):
    settings = Settings(home=studio.home, example=True)
    example.install(settings)
    model = catalogue.find(settings, embedded.NAME)
    run = RunStore(settings).run(example.EXAMPLE_RUN)
    merged = MergedModel(WeightFiles(model, FLOAT32, "original"), run.adapter)
    renderer = Renderer(load_tokenizer(model), "auto", merged.source.config.vocab_size)
    assert len(compare_greedy(merged, renderer, tmp_path / "model.gguf")) <= 5


def test_greedy_texts_of_a_random_llama_2_are_those_of_transformers(settings, llama2_tokenizer, tmp_path):
    """A random model has a near tie every few hundred tokens, which the rounding to F16 decides otherwise."""
    shape = {"vocab_size": 32000, "num_key_value_heads": 4, "tie_word_embeddings": False, "initializer_range": 0.2}
    run = write_tiny_run(settings, llama2_tokenizer, tiny_llama(**shape, intermediate_size=96))
    merged = MergedModel(WeightFiles(catalogue.find(settings, "tiny"), FLOAT32, "original"), run.adapter)
    renderer = Renderer(llama2_tokenizer, "auto", 32000)
    partings = compare_greedy(merged, renderer, tmp_path / "model.gguf")
    assert len([at for at, _ in partings if at < 8]) <= 5
    # Logits have a standard deviation of more than 1.
    assert all(gap < 0.03 for _, gap in partings)
