"""Exports of a random model of Llama 2 7B's shape, or a smaller one, after a run of three steps.

    python bench/export.py TOKENIZER_FOLDER [--layers 32] [--hidden 4096] [--rows 16]

Writes the model, trains a run on the bundled data set with `python -m core`, and exports it in each form as a user
would. Prints a table with the seconds, the size, the peak memory of the process, and its sentence about the answers.
Random weights cost the same time and memory as trained ones. A GPU is needed for 7B; the disk needs 45 GB.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
FORMS = {
    "GGUF Q4_0": ["--form", "gguf", "--quantization", "Q4_0"],
    "GGUF Q8_0": ["--form", "gguf", "--quantization", "Q8_0"],
    "merged bfloat16": ["--form", "merged"],
}
# Runs a command and prints its peak memory in MiB (Linux counts it in KiB).
MEASURE = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024); sys.exit(code)"
)


def write_model(folder: Path, tokenizer: Path, options: argparse.Namespace) -> None:
    """Write a Llama 2 model with random weights in bfloat16, and its tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    hidden = options.hidden
    config = LlamaConfig(
        vocab_size=32000, hidden_size=hidden, intermediate_size=hidden * 11008 // 4096,
        num_hidden_layers=options.layers, num_attention_heads=hidden // 128, max_position_embeddings=4096,
        rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False, dtype="bfloat16",
    )  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        LlamaForCausalLM(config).save_pretrained(folder)
    read = AutoTokenizer.from_pretrained(tokenizer)
    read.pad_token = "<unk>"
    read.save_pretrained(folder)


def core(home: Path, *words: str) -> list[str]:
    """Return the lines of `python -m core`, and last the peak memory of the process in MiB.

    Raises:
        SystemExit: The command failed.
    """
    command = [sys.executable, "-c", MEASURE, sys.executable, "-m", "core", *words]
    environment = os.environ | {"STUDIO_HOME": str(home)}
    result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {(result.stderr or result.stdout)[-800:]}")
    return [line for line in result.stdout.splitlines() if line.strip()]


def main() -> None:
    """Train the run, export it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path, help="folder of a Llama 2 tokenizer")
    parser.add_argument("--layers", type=int, default=32, help="layers of the model (default: %(default)s)")
    parser.add_argument("--hidden", type=int, default=4096, help="its width (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=16, help="compared held-out rows (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        core(home, "data", "list")
        write_model(home / "models" / "random", options.tokenizer, options)
        settings = ["--max-steps", "3", "--max-length", "256", "--eval-steps", "0", "--early-stopping", "0"]
        made = core(home, "train", "--model", "random", "--subset", "keeper", "--no-keep-best", *settings)
        print("| form | seconds | GiB | peak GiB of memory | answers |\n|---|---|---|---|---|", flush=True)
        for name, words in FORMS.items():
            began = time.monotonic()
            lines = core(home, "export", made[0], *words, "--check-rows", str(options.rows))
            seconds = time.monotonic() - began
            file = next(path for path in (home / "exports").iterdir() if path.suffix in (".gguf", ".zip"))
            size = file.stat().st_size / 2**30
            print(f"| {name} | {seconds:.0f} | {size:.1f} | {int(lines[-1]) / 1024:.1f} | {lines[-2]} |", flush=True)
            file.unlink()


if __name__ == "__main__":
    main()
