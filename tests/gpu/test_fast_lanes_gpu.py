"""CUDA decoder on a GPU: logits and sampled tokens of sequences against the PyTorch model alone."""

import gc

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from core.chat.adapters import Adapter, LoraWeights, RowAdapters, read_adapter
from core.chat.decoder import Decoder, TokenSequence
from core.chat.sampler import TokenSampler
from core.chat.sampling import Sampling
from tests.helpers.cuda_weights import KINDS, pack_linear, relative_distance

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]

# A share of the logits' length, as in test_lanes_gpu.py.
TOLERANCE = 0.02
TOKENS = 24
# Kinds in which nothing is rounded to 8 bits, with their tolerance of the logits.
EXACT = {"nf4 fp32": 1e-4, "fp32": 1e-4}


def make_model(kind="nf4", **over):
    """Return a model of Llama 2's shape family with grouped heads."""
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
                model.set_submodule(name, pack_linear(module, kind))
    return model.requires_grad_(False)


def make_adapters(tmp_path_factory, **over):
    """Return two adapters for `make_model` of the same sizes: of a few modules, and of all linear layers."""
    folders = {}
    for name, rank, targets in (("small", 4, ["q_proj", "v_proj"]), ("large", 40, "all-linear")):
        torch.manual_seed(rank)
        shape = LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, init_lora_weights=False)
        tuned = get_peft_model(make_model("bf16", **over), shape)
        for key, parameter in tuned.named_parameters():
            if "lora_" in key:
                parameter.data *= 0.2
        folders[name] = tmp_path_factory.mktemp(name)
        tuned.save_pretrained(folders[name])
    return {name: read_adapter(folder, torch.bfloat16, torch.device("cuda")) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    return make_adapters(tmp_path_factory)


def decoders(model, adapters, **options):
    """Return the PyTorch decoder and the CUDA decoder over one model."""
    from core.chat.cuda.decoder import CudaDecoder
    from core.chat.cuda.runtime import CudaRuntime

    rows = RowAdapters(model)
    for name, adapter in adapters.items():
        rows.add(name, adapter)
    return Decoder(model, rows), CudaDecoder(CudaRuntime(model), rows, **options)


class RecordingSequence:
    """A greedy sequence that records its logits."""

    def __init__(self, ids, adapter, tokens=TOKENS):
        self.ids, self.adapter, self.logits, self.tokens, self.left = ids, adapter, [], [], tokens
        self.row = TokenSequence(ids, adapter, self.take)

    def take(self, logits):
        # They are the decoder's, and valid until its next step.
        self.logits.append(logits.float().clone())
        self.tokens.append(int(logits.argmax()))
        self.left -= 1
        return self.tokens[-1] if self.left else None


def prompt(length, seed=1):
    return torch.randint(3, 32000, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def run(decoder, first, then=()):
    """Decode some sequences, and others that join after a step; return all."""
    decoder.join([sequence.row for sequence in first])
    decoder.step()
    if then:
        decoder.join([sequence.row for sequence in then])
    while decoder.step():
        pass
    return [*first, *then]


@torch.inference_mode()
def logits_after(model, adapters, sequence):
    """Return the plain model's logits at each token of a sequence."""
    rows = RowAdapters(model)
    for name, adapter in adapters.items():
        rows.add(name, adapter)
    rows.set_rows([sequence.adapter])
    ids = torch.tensor([sequence.ids + sequence.tokens[:-1]], device="cuda")
    found = model(ids).logits[0, -len(sequence.tokens) :].float()
    rows.keep_only([])
    return found


def convert_to_float32(adapter):
    return Adapter({name: LoraWeights(lora.a.float(), lora.b.float()) for name, lora in adapter.lora.items()})


@pytest.mark.parametrize("kind", [*KINDS, *EXACT])
def test_logits_of_every_lane_equal_its_model_alone(adapters, kind):
    tolerance = EXACT.get(kind, TOLERANCE)
    if kind in EXACT:
        adapters = {name: convert_to_float32(adapter) for name, adapter in adapters.items()}
    check_lanes(make_model(kind), adapters, tolerance, kind)


def test_logits_of_every_lane_where_some_layers_are_too_narrow_for_nf4_gemv(tmp_path_factory):
    """As in SmolLM2-135M: only the down projection has a width that is a multiple of 256."""
    sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}
    adapters = make_adapters(tmp_path_factory, **sizes)
    check_lanes(make_model("nf4", **sizes), adapters, TOLERANCE, "nf4, narrow")


def check_lanes(model, adapters, tolerance, title):
    """Compare the logits of five sequences that decode together with those of each model alone."""
    _, fast = decoders(model, adapters, chunk=64)
    names = [None, "large", "small", None, "large"]
    sequences = [RecordingSequence(prompt(n, n), name) for n, name in zip((31, 150, 7, 290, 64), names, strict=True)]
    run(fast, sequences[:2], sequences[2:])
    worst = 0.0
    for sequence in sequences:
        expected = logits_after(model, adapters, sequence)
        worst = max(worst, relative_distance(torch.stack(sequence.logits), expected))
        # Another token may be taken only where two are nearly as likely.
        for at, token in enumerate(sequence.tokens):
            assert expected[at].max() - expected[at, token] <= tolerance * expected[at].norm()
    print(f"{title}: logits differ by {worst:.2g} of their length at most")
    assert worst <= tolerance


def test_base_beside_a_tuned_lane_is_bit_identical(adapters):
    found = []
    for beside in (None, "large"):
        _, fast = decoders(make_model(), adapters)
        sequence, _ = run(fast, [RecordingSequence(prompt(40), None), RecordingSequence(prompt(40), beside)])
        found.append(torch.stack(sequence.logits))
    assert torch.equal(*found)


def test_cuda_decoder_sequences_join_and_leave_while_caches_grow(adapters):
    """Sequences of all lengths, more than the initial slots, some without a known end: each as if it were alone."""
    model = make_model()
    _, fast = decoders(model, adapters, chunk=100)
    names = [None, "large", "small"]
    rows = [RecordingSequence(prompt(5 + 37 * at, at), names[at % 3], tokens=4 + 13 * (at % 5)) for at in range(14)]
    waiting, under_way = list(rows), 0
    while waiting or under_way:
        if waiting:
            fast.join([waiting.pop(0).row])
        fast.step()
        under_way = len(fast.sequences)
    for sequence in rows:
        assert not sequence.left
        assert relative_distance(torch.stack(sequence.logits), logits_after(model, adapters, sequence)) <= TOLERANCE
    assert not fast._runtime._cache.lacks(fast._runtime._cache.count), "all pages came back"


def sampled_sequence(ids, adapter, tokens, sampling):
    """Return a sequence that is sampled on the GPU, and the list of its tokens."""
    taken = []

    def keep(token, logprob):
        assert logprob <= 0
        taken.append(token)
        return token if len(taken) < tokens else None

    return TokenSequence(
        ids, adapter, lambda logits: 1 / 0, sampler=TokenSampler(sampling, ids), on_token=keep, max_new_tokens=tokens
    ), taken


def test_cuda_decoder_same_seed_samples_the_same_in_any_batch(adapters):
    hot = Sampling(temperature=0.9, top_p=0.95, top_k=200, repetition_penalty=1.1, seed=7)
    found = []
    for beside in (1, 3):
        _, fast = decoders(make_model(), adapters)
        pairs = [sampled_sequence(prompt(60), None, TOKENS, hot) for _ in range(2)]
        pairs += [sampled_sequence(prompt(50, at), "large", TOKENS, Sampling(seed=at)) for at in range(beside)]
        fast.join([row for row, _ in pairs])
        while fast.step():
            pass
        assert pairs[0][1] == pairs[1][1]
        found.append(pairs[0][1])
    assert len(found[0]) == TOKENS


def test_cuda_decoder_swaps_adapters_and_leaves_special_ones_to_pytorch(adapters, tmp_path):
    model = make_model()
    with_head = get_peft_model(make_model(), LoraConfig(modules_to_save=["lm_head"], task_type="CAUSAL_LM"))
    with_head.get_base_model().lm_head.modules_to_save["default"].weight.data *= 1.5
    with_head.save_pretrained(tmp_path)
    biased = read_adapter(tmp_path, torch.bfloat16, torch.device("cuda"))
    other = Adapter({name: LoraWeights(w.a, w.b * -1) for name, w in adapters["large"].lora.items()})
    given = adapters | {"other": other, "biased": biased}
    _, fast = decoders(model, given)
    for names in (["large", "small"], ["other", None], ["biased", "large"]):
        sequences = run(fast, [RecordingSequence(prompt(30), name, 6) for name in names])
        for sequence in sequences:
            assert relative_distance(torch.stack(sequence.logits), logits_after(model, given, sequence)) <= TOLERANCE


def test_cuda_decoder_releases_its_memory(adapters):
    """Measured the second time: cuBLAS keeps the workspace that it allocates the first time."""
    left = []
    for _ in range(2):
        gc.collect()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        model = make_model()
        plain, fast = decoders(model, adapters)
        run(fast, [RecordingSequence(prompt(40), "large")])
        held = torch.cuda.memory_allocated() - before
        del model, plain, fast
        gc.collect()
        torch.cuda.empty_cache()
        left.append((torch.cuda.memory_allocated() - before) / held)
    assert left[-1] < 0.02


def test_cuda_decoder_50_sequences_equal_each_alone(adapters):
    """More than 32, where weights are unpacked and the library multiplies."""
    model = make_model()
    _, fast = decoders(model, adapters)
    names = [None, "large", "small"]
    rows = run(fast, [RecordingSequence(prompt(10 + at, at), names[at % 3], tokens=5) for at in range(50)])
    for sequence in rows[::7]:
        assert relative_distance(torch.stack(sequence.logits), logits_after(model, adapters, sequence)) <= TOLERANCE
