"""The fast decoder on a GPU: its kernels against dequantised weights, its rows against those of the plain decoder."""

import gc
import itertools
import json
import os
from pathlib import Path

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit, Params4bit
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from core.chat.adapters import Adapter, LoraWeights, RowAdapters, read_adapter
from core.chat.decoder import Decoder, TokenSequence
from core.chat.sampler import TokenSampler
from core.chat.sampling import Sampling

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]

TOLERANCE = 0.02  # of the logits' length, as in test_lanes_gpu.py
TOKENS = 24
# by its path: core.data.sources reads with DuckDB, which a GPU host may lack
BUNDLED = Path(__file__).parents[2] / "core" / "data" / "bundled" / "keeper" / "train.jsonl"
KINDS = ["nf4", "fp4", "nf4 once", "bf16"]
EXACT = {"nf4 fp32": 1e-4, "fp32": 1e-4}  # and how far logits may be apart there, where nothing is rounded to 8 bits


def packed(module, kind):
    """A linear layer in 4 bits, its sizes quantised once more unless `kind` says once."""
    made = Linear4bit(module.in_features, module.out_features, bias=False, compute_dtype=module.weight.dtype)
    made.weight = Params4bit(
        module.weight.data, requires_grad=False, quant_type=kind[:3], compress_statistics="once" not in kind
    ).to("cuda")
    return made


def made(kind="nf4", **over):
    """Llama 2's shape family with grouped heads."""
    torch.manual_seed(0)
    shape = {
        "vocab_size": 32000, "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 4,
        "num_attention_heads": 16, "num_key_value_heads": 4,
    }  # fmt: skip
    dtype = torch.float32 if "fp32" in kind else torch.bfloat16
    model = LlamaForCausalLM(LlamaConfig(**(shape | over))).to("cuda", dtype).eval()
    if kind[:3] in ("nf4", "fp4"):
        for name, module in list(model.named_modules()):
            if isinstance(module, torch.nn.Linear) and name != "lm_head":
                model.set_submodule(name, packed(module, kind))
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    folders = {}
    for name, rank, targets in (("small", 4, ["q_proj", "v_proj"]), ("large", 40, "all-linear")):
        torch.manual_seed(rank)
        shape = LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, init_lora_weights=False)
        tuned = get_peft_model(made("bf16"), shape)
        for key, parameter in tuned.named_parameters():
            if "lora_" in key:
                parameter.data *= 0.2
        folders[name] = tmp_path_factory.mktemp(name)
        tuned.save_pretrained(folders[name])
    return {name: read_adapter(folder, torch.bfloat16, torch.device("cuda")) for name, folder in folders.items()}


def decoders(model, adapters, **options):
    """The plain decoder and the fast one over one model."""
    from core.chat.cuda.decoder import CudaDecoder
    from core.chat.cuda.runtime import CudaRuntime

    rows = RowAdapters(model)
    for name, adapter in adapters.items():
        rows.add(name, adapter)
    return Decoder(model, rows), CudaDecoder(CudaRuntime(model), rows, **options)


def apart(found, expected):
    return float((found.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1088, 1024])  # the second is a multiple of what the kernel for few rows takes
@pytest.mark.parametrize("rows", [1, 2, 8, 16, 40, 128, 200])
def test_products_are_those_of_dequantised_weights(kind, rows, width):
    from core.chat.cuda import quantized_matmul
    from core.chat.cuda.adapter_slots import paired
    from core.chat.cuda.lora import Lora
    from core.chat.cuda.weights import Merged

    torch.manual_seed(1)
    linears = [torch.nn.Linear(width, out, bias=False, device="cuda", dtype=torch.bfloat16) for out in (256, 64, 192)]
    if kind != "bf16":
        linears = [packed(linear, kind) for linear in linears]
    whole = [m.weight if kind == "bf16" else dequantize_4bit(m.weight.data, m.weight.quant_state) for m in linears]
    before = [weight.clone() for weight in whole]
    merged = Merged(linears)
    x = torch.randn(rows, width, device="cuda", dtype=torch.bfloat16)
    a = torch.randn(2, 3 * 16, width, device="cuda", dtype=torch.bfloat16) / 30
    b = torch.randn(2, 512, 16, device="cuda", dtype=torch.bfloat16)
    slots = torch.tensor([(-1, 1, 0)[row % 3] for row in range(rows)], dtype=torch.int32, device="cuda")
    given = paired(x) if merged.packed else x
    done = torch.zeros(2, dtype=torch.int32, device="cuda")
    out, alone = (torch.empty(3, rows, 512, device="cuda") for _ in range(2))
    columns = paired(a.flatten(0, 1)).view(a.shape) if merged.packed else a
    for turn in (0, 1, 0):  # as products take turns
        lora = Lora(columns, b, slots, torch.zeros(4, rows, 48, device="cuda"), done, turn)
        quantized_matmul.product(given, merged, out, lora)
    quantized_matmul.product(given, merged, alone)
    expected = x.float() @ torch.cat(before).float().T
    assert apart(alone.sum(0), expected) < 3e-3
    for row, slot in enumerate(slots.tolist()):
        if slot >= 0:
            low = (a[slot].float() @ x[row].float()).view(3, 16)
            for at, (start, end) in enumerate(itertools.pairwise([0, 256, 320, 512])):
                expected[row, start:end] += b[slot, start:end].float() @ low[at]
    assert apart(out.sum(0), expected) < 4e-3
    base = slots < 0
    assert torch.equal(out.sum(0)[base], alone.sum(0)[base]), "a row of the base is that of no LoRA"
    if kind != "bf16":  # the modules' own weights are views of the merged ones
        for module, weight in zip(linears, before, strict=True):
            assert torch.equal(dequantize_4bit(module.weight.data, module.weight.quant_state), weight)


class Kept:
    """A row that keeps its logits and takes the likeliest token."""

    def __init__(self, ids, adapter, tokens=TOKENS):
        self.ids, self.adapter, self.logits, self.tokens, self.left = ids, adapter, [], [], tokens
        self.row = TokenSequence(ids, adapter, self.take)

    def take(self, logits):
        self.logits.append(logits.float().clone())  # they are the decoder's, good until its next step
        self.tokens.append(int(logits.argmax()))
        self.left -= 1
        return self.tokens[-1] if self.left else None


def prompt(length, seed=1):
    return torch.randint(3, 32000, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def run(decoder, first, then=()):
    """Rows that begin, and others that join after a step."""
    decoder.join([one.row for one in first])
    decoder.step()
    if then:
        decoder.join([one.row for one in then])
    while decoder.step():
        pass
    return [*first, *then]


@torch.inference_mode()
def logits_after(model, adapters, one):
    """The plain model's logits at each of a row's tokens."""
    rows = RowAdapters(model)
    for name, adapter in adapters.items():
        rows.add(name, adapter)
    rows.set_rows([one.adapter])
    ids = torch.tensor([one.ids + one.tokens[:-1]], device="cuda")
    found = model(ids).logits[0, -len(one.tokens) :].float()
    rows.keep_only([])
    return found


def in_float32(adapter):
    return Adapter({name: LoraWeights(one.a.float(), one.b.float()) for name, one in adapter.lora.items()})


@pytest.mark.parametrize("kind", [*KINDS, *EXACT])
def test_logits_of_every_lane_are_those_of_its_model_alone(adapters, kind):
    model, tolerance = made(kind), EXACT.get(kind, TOLERANCE)
    if kind in EXACT:
        adapters = {name: in_float32(adapter) for name, adapter in adapters.items()}
    _, fast = decoders(model, adapters, chunk=64)
    names = [None, "large", "small", None, "large"]
    asked = [Kept(prompt(n, n), name) for n, name in zip((31, 150, 7, 290, 64), names, strict=True)]
    run(fast, asked[:2], asked[2:])
    worst = 0.0
    for one in asked:
        expected = logits_after(model, adapters, one)
        worst = max(worst, apart(torch.stack(one.logits), expected))
        for at, token in enumerate(one.tokens):  # another token only where two are nearly as likely
            assert expected[at].max() - expected[at, token] <= tolerance * expected[at].norm()
    print(f"{kind}: logits differ by {worst:.2g} of their length at most")
    assert worst <= tolerance


def test_the_base_beside_a_tuned_lane_is_the_base_to_the_bit(adapters):
    found = []
    for beside in (None, "large"):
        _, fast = decoders(made(), adapters)
        one, _ = run(fast, [Kept(prompt(40), None), Kept(prompt(40), beside)])
        found.append(torch.stack(one.logits))
    assert torch.equal(*found)


def test_rows_come_and_go_while_caches_grow(adapters):
    """Rows of all lengths, more than there were places for, some without a known end: each as if it were alone."""
    model = made()
    _, fast = decoders(model, adapters, chunk=100)
    names = [None, "large", "small"]
    rows = [Kept(prompt(5 + 37 * at, at), names[at % 3], tokens=4 + 13 * (at % 5)) for at in range(14)]
    waiting, under_way = list(rows), 0
    while waiting or under_way:
        if waiting:
            fast.join([waiting.pop(0).row])
        fast.step()
        under_way = len(fast.sequences)
    for one in rows:
        assert not one.left
        assert apart(torch.stack(one.logits), logits_after(model, adapters, one)) <= TOLERANCE
    assert not fast._machine._pages.short(fast._machine._pages.count), "all pages came back"


def told(ids, adapter, tokens, sampling):
    """A row whose tokens are drawn on the GPU, and the list they come to stand in."""
    said = []

    def keep(token, logprob):
        assert logprob <= 0
        said.append(token)
        return token if len(said) < tokens else None

    return TokenSequence(
        ids, adapter, lambda logits: 1 / 0, sampler=TokenSampler(sampling, ids), on_token=keep, max_new_tokens=tokens
    ), said


def test_drawn_rows_are_the_same_for_the_same_seed_whoever_is_beside_them(adapters):
    hot = Sampling(temperature=0.9, top_p=0.95, top_k=200, repetition_penalty=1.1, seed=7)
    found = []
    for beside in (1, 3):
        _, fast = decoders(made(), adapters)
        pairs = [told(prompt(60), None, TOKENS, hot) for _ in range(2)]
        pairs += [told(prompt(50, at), "large", TOKENS, Sampling(seed=at)) for at in range(beside)]
        fast.join([row for row, _ in pairs])
        while fast.step():
            pass
        assert pairs[0][1] == pairs[1][1]
        found.append(pairs[0][1])
    assert len(found[0]) == TOKENS


def test_adapters_are_swapped_and_others_go_the_plain_way(adapters, tmp_path):
    model = made()
    whole = get_peft_model(made(), LoraConfig(modules_to_save=["lm_head"], task_type="CAUSAL_LM"))
    whole.get_base_model().lm_head.modules_to_save["default"].weight.data *= 1.5
    whole.save_pretrained(tmp_path)
    biased = read_adapter(tmp_path, torch.bfloat16, torch.device("cuda"))
    other = Adapter({name: LoraWeights(w.a, w.b * -1) for name, w in adapters["large"].lora.items()})
    given = adapters | {"other": other, "biased": biased}
    _, fast = decoders(model, given)
    for names in (["large", "small"], ["other", None], ["biased", "large"]):
        asked = run(fast, [Kept(prompt(30), name, 6) for name in names])
        for one in asked:
            assert apart(torch.stack(one.logits), logits_after(model, given, one)) <= TOLERANCE


def test_memory_comes_back(adapters):
    """The second time: the first time the library takes room to work in, which it keeps."""
    left = []
    for _ in range(2):
        gc.collect()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        model = made()
        plain, fast = decoders(model, adapters)
        run(fast, [Kept(prompt(40), "large")])
        held = torch.cuda.memory_allocated() - before
        del model, plain, fast
        gc.collect()
        torch.cuda.empty_cache()
        left.append((torch.cuda.memory_allocated() - before) / held)
    assert left[-1] < 0.02


def test_many_rows_are_what_each_is_alone(adapters):
    """More than 32, where weights are unpacked and the library multiplies."""
    model = made()
    _, fast = decoders(model, adapters)
    names = [None, "large", "small"]
    rows = run(fast, [Kept(prompt(10 + at, at), names[at % 3], tokens=5) for at in range(50)])
    for one in rows[::7]:
        assert apart(torch.stack(one.logits), logits_after(model, adapters, one)) <= TOLERANCE


@pytest.fixture(scope="module")
def embedded_folder(request):
    """The embedded model, or the folder STUDIO_TEST_MODEL names on a machine that has no package index."""
    given = os.environ.get("STUDIO_TEST_MODEL")
    return Path(given) if given else request.getfixturevalue("embedded_model")


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tokens", "least"), [("float32", 24, 99), ("bfloat16", 12, 0)])
def test_100_greedy_answers_of_the_embedded_model_equal_generate(embedded_folder, dtype, tokens, least):
    """In float32 token by token.

    In bf16 two tokens are often equally likely to the last of its 8 bits, and whoever adds in another order says the
    other one, transformers with another attention, too. There each difference must be such a tie, and how many there
    are is printed beside how many transformers' eager attention makes.
    """
    from core.chat.lanes import Lanes
    from core.chat.types import Lane
    from core.models.catalogue import Model
    from core.models.loading import Precision, load_base

    def load(**options):
        return load_base(Model("m", "m", str(embedded_folder), True), Precision("none", compute_dtype=dtype), **options)

    lanes, plain, eager = Lanes(load()), load().model.eval(), load(attention="eager").model.eval()
    assert "one CUDA graph" in lanes.decoding_note
    asked, sampling = questions(), Sampling(temperature=0, max_new_tokens=tokens)
    stops, same, same_eager = lanes.stop_conditions(Lane(asked[0], sampling)), 0, 0
    for start in range(0, 100, 8):
        *_, answers = lanes.generate([Lane(messages, sampling) for messages in asked[start : start + 8]])
        for messages, answer in zip(asked[start : start + 8], answers, strict=True):
            ids = lanes.renderer().prompt_ids(messages)
            said = generated(plain, ids, tokens, stops.at_token)
            same += said == answer.ids
            same_eager += said == generated(eager, ids, tokens, stops.at_token)
            if said != answer.ids:
                at = next(n for n, (a, b) in enumerate(itertools.zip_longest(said, answer.ids)) if a != b)
                assert_near_tie(plain, ids + said[:at], answer.ids[at : at + 1])
    print(f"{dtype}: {same} of 100 answers are transformers'; with eager attention {same_eager} of its own are")
    assert same >= least


def questions():
    """A hundred of the bundled data's, each as a conversation."""
    with BUNDLED.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(100), strict=False)]
    texts = [row["text"].split("### ")[1].removeprefix("Human: ").strip() for row in rows]
    return [[{"role": "user", "content": text}] for text in texts]


@torch.inference_mode()
def generated(model, ids, tokens, is_end):
    """What transformers says, without the end."""
    given = torch.tensor([ids], device="cuda")
    out = model.generate(given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=tokens)
    return [token for token in out[0, len(ids) :].tolist() if not is_end(token)]


@torch.inference_mode()
def assert_near_tie(model, ids, other):
    """The likeliest token after `ids`, or the end, leads the other by no more than two steps of bf16."""
    logits = model(torch.tensor([ids], device="cuda")).logits[0, -1].float()
    token = other[0] if other else model.generation_config.eos_token_id
    assert logits.max() - logits[token] <= 2**-6 * logits.abs().max()
