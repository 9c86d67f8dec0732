"""GGUF files against llama.cpp itself: its converter's tensors, its logits and tokens, and its quantization.

The package llama-cpp-python is optional, as is a checkout of llama.cpp with its converter: the folder of the package's
source has one in vendor/llama.cpp.
"""

import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from core.data import sources
from core.data.readers import read_rows
from core.export.gguf_vocabulary import write_vocabulary
from core.export.llama_quantize import is_installed
from core.export.safetensors_folder import write_weights
from tests.helpers.gguf_models import MODELS, write_model

needs_llama_cpp = pytest.mark.skipif(not is_installed(), reason="llama-cpp-python is optional: it compiles for minutes")
SOURCE = os.environ.get("LLAMA_CPP_SOURCE", "")
# It runs llama.cpp's converter on a folder, without its tokenizers, which it knows by their hash alone.
CONVERTER = """
import sys
from pathlib import Path
source, architecture, folder, target = sys.argv[1:]
sys.path[:0] = [source, source + "/gguf-py"]
import gguf, torch
from conversion import get_model_class
converter = get_model_class(architecture)
converter.set_vocab = lambda self: None
with torch.inference_mode():
    converter(Path(folder), gguf.LlamaFileType.MOSTLY_F16, Path(target)).write()
"""
# One for each way in which a family differs from the others.
FAMILIES = ["llama, tied", "llama 3", "qwen3", "gemma2", "gemma3", "phi3", "phi3, longrope", "gpt2"]


def tensors_of(path):
    return {t.name: (t.tensor_type.name, t.data.tobytes()) for t in gguf.GGUFReader(path).tensors}


@pytest.mark.slow
@pytest.mark.skipif(not SOURCE, reason="LLAMA_CPP_SOURCE names no checkout of llama.cpp")
@pytest.mark.parametrize("model", FAMILIES)
def test_tensors_are_the_bytes_of_llama_cpps_own_converter(settings, small_tokenizer, tmp_path, model):
    merged = write_model(settings, small_tokenizer, tmp_path / "ours.gguf", "F16", model)
    (folder := tmp_path / "merged").mkdir()
    write_weights(merged, "float32", folder, lambda share, stage: None)
    config = merged.source.config
    # The converter reads GPT-2's number of positions by its former name.
    config.n_ctx = config.max_position_embeddings
    config.save_pretrained(folder)
    small_tokenizer.save_pretrained(folder)
    command = [sys.executable, "-c", CONVERTER, SOURCE, config.architectures[0], folder, tmp_path / "theirs.gguf"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    assert tensors_of(tmp_path / "ours.gguf") == tensors_of(tmp_path / "theirs.gguf")


def open_in_llama_cpp(path, **options):
    import llama_cpp

    return llama_cpp.Llama(str(path), verbose=False, **options)


@needs_llama_cpp
@pytest.mark.parametrize("model", FAMILIES)
def test_logits_of_llama_cpp_are_those_of_transformers(settings, small_tokenizer, tmp_path, model):
    merged = write_model(settings, small_tokenizer, tmp_path / "model.gguf", "F32", model)
    ids = torch.randint(3, len(small_tokenizer), (40,), generator=torch.Generator().manual_seed(0)).tolist()
    # Keys and values in float32, and the factors of longrope for short texts.
    theirs = open_in_llama_cpp(
        tmp_path / "model.gguf", n_ctx=256, n_batch=256, n_ubatch=256, logits_all=True, type_k=0, type_v=0
    )
    theirs.eval(ids)
    found = torch.from_numpy(np.array(theirs.scores[: len(ids)]))
    theirs.close()
    tuned = AutoModelForCausalLM.from_pretrained(settings.models_dir / "tiny", dtype=torch.float32)
    tuned.load_state_dict({name: merged.read(name) for name in merged.names}, strict=False)
    with torch.no_grad():
        expected = tuned(torch.tensor([ids])).logits[0]
    # llama.cpp reads the GELU of GPT-2 and Gemma from a table in float16.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 * float(expected.abs().max()))


def train_sentencepiece(*, adds_space, special):
    """Return a tokenizer in the form of Gemma's or Phi-3's, trained on the bundled rows."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    steps = [normalizers.Prepend("▁")] if adds_space else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁▁▁▁", "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    texts = [read.row["text"] for read in read_rows(sources.BUNDLED_FOLDER / "train.jsonl", "train.jsonl")]
    trainer = trainers.BpeTrainer(vocab_size=2000, special_tokens=names, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = None
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


def write_vocabulary_alone(tokenizer, path, name):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    write_vocabulary(writer, tokenizer, len(tokenizer), None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()


@needs_llama_cpp
@pytest.mark.parametrize(
    ("adds_space", "special", "name", "text"),
    [
        (False, [AddedToken("<start_of_turn>", special=True)], "gemma", "<start_of_turn>user\nHow  many?"),
        (
            True, [AddedToken("<|endoftext|>", special=True), AddedToken("<|user|>", special=True, rstrip=True)],
            "tuned (Phi-3)", "<|user|>\n  How many?",
        ),
    ],
)  # fmt: skip
def test_sentencepiece_tokens_of_llama_cpp_are_those_here(tmp_path, shared_data, adds_space, special, name, text):
    tokenizer = train_sentencepiece(adds_space=adds_space, special=special)
    write_vocabulary_alone(tokenizer, tmp_path / "vocabulary.gguf", name)
    theirs = open_in_llama_cpp(tmp_path / "vocabulary.gguf", vocab_only=True)
    path = shared_data / "openassistant_best_replies_eval.jsonl"
    texts = [read.row["text"] for read in read_rows(path, path.name)]
    assert len(texts) >= 500
    for one in texts:
        expected = tokenizer(one, add_special_tokens=False).input_ids
        assert theirs.tokenize(one.encode(), add_bos=False, special=False) == expected, one[:80]
    assert (
        theirs.tokenize(text.encode(), add_bos=False, special=True)
        == tokenizer(text, add_special_tokens=False).input_ids
    )
    theirs.close()


def test_checkout_of_llama_cpp_has_its_converter():
    assert not SOURCE or (Path(SOURCE) / "conversion" / "gemma.py").is_file(), f"{SOURCE} has no converter"
    assert set(FAMILIES) <= set(MODELS)
