"""Trial of a foreign model's tokenizer and chat templates in a process of its own, before this process loads them.

The `tokenizers` library ends the process that reads some files made for it, or takes all its memory. A process with
limits (`core.models.trial_worker`) reads them first, encodes and decodes a table of texts and renders a table of
conversations. The result is kept by the hash of the files, so a model pays once: 0.5 CPU seconds for a vocabulary of
49,000 tokens (measured). The embedded model, which is made of a file with a known hash, is not tried.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.access.free_disk import check_free_disk
from core.access.quotas import Quotas
from core.errors import StudioError
from core.hub.download import CACHE_ADVICE
from core.models import embedded
from core.models.catalogue import Model
from core.system.files import read_json, write_json
from core.system.launch import python_path

# Files that determine what a tokenizer and its templates do; the first three are those of most models. transformers
# reads no others of a model with a tokenizer.json.
FILES = (
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "additional_chat_templates/tool_use.jinja",
    "special_tokens_map.json", "added_tokens.json", "tokenizer.model", "vocab.json", "merges.txt",
)  # fmt: skip
# Files of which transformers makes a tokenizer where there is no tokenizer.json.
OTHER_FILES = (
    "vocab.txt", "spiece.model", "spm.model", "sentencepiece.model", "sentencepiece.bpe.model", "tekken.json",
    "tiktoken.model", "normalizer.json", "entity_vocab.json",
)  # fmt: skip
# Increase it when the trial asks for more: models are tried again then.
_VERSION = 2
_CPU_SECONDS, _WALL_SECONDS = 30, 240
_SIGNALS = {
    signal.SIGXCPU: f"takes more than {_CPU_SECONDS} CPU seconds",
    signal.SIGKILL: f"takes more than {_CPU_SECONDS} CPU seconds, or more memory than there is",
    signal.SIGSEGV: "crashes the library that reads it",
    signal.SIGABRT: "crashes the library that reads it, or makes it ask for too much memory",
}
# Results by hash, also for models without a folder for them.
_known: dict[str, str] = {}


def check_trial(model: Model) -> None:
    """Check that a model's tokenizer and templates can be loaded and used; they are tried if they have not been.

    Raises:
        StudioError: They cannot; the message names the file and the reason.
    """
    if model.name == embedded.NAME:
        return
    files = _find_files(model)
    if not files:
        return
    digest = _digest(files)
    stored = Path(model.trials) / f"{digest}.json" if model.trials else None
    reason = _known.get(digest)
    if reason is None:
        reason = read_json(stored)["refused"] if stored and stored.is_file() else _try(files)
        _known[digest] = reason
    if stored and not stored.is_file():
        write_json(stored, {"model": model.name, "refused": reason})
    if reason:
        raise StudioError(
            f"The model {model.name!r} could not be loaded: its {reason}. It was tried in a process of its own, and is "
            "not loaded. Choose another model, or one whose author you know."
        )


def _find_files(model: Model) -> dict[str, str]:
    """Return the paths of the model's files by their names; those of a Hub model are downloaded first."""
    found = _cached(model, FILES)
    return found if FILES[0] in found else found | _cached(model, OTHER_FILES)


def _cached(model: Model, names: tuple[str, ...]) -> dict[str, str]:
    from huggingface_hub.constants import HF_HUB_CACHE
    from transformers.utils.hub import cached_files

    if not model.local:
        check_free_disk(Path(HF_HUB_CACHE), Quotas().free_gib, advice=CACHE_ADVICE)
    # One call asks for all of them.
    options = {"revision": model.revision, "_raise_exceptions_for_missing_entries": False}
    paths = [str(path) for path in cached_files(model.path, list(names), **options) or () if path]
    return {name: path for name in names for path in paths if path.endswith(f"/{name}")}


def _digest(files: dict[str, str]) -> str:
    """Return a hash of the contents, the versions of the libraries that read them, and the version of the trial."""
    versions = [importlib.metadata.version(name) for name in ("tokenizers", "transformers", "jinja2")]
    digest = hashlib.sha256(" ".join([str(_VERSION), *versions]).encode())
    for name, path in sorted(files.items()):
        status = os.stat(path)
        digest.update(f"\0{name}\0{_file_hash(path, status.st_size, status.st_mtime_ns)}".encode())
    return digest.hexdigest()[:32]


@functools.lru_cache(maxsize=256)
def _file_hash(path: str, size: int, changed: int) -> str:
    """Return the hash of a file's content; size and time of the last change belong to the key of the cache."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _try(files: dict[str, str]) -> str:
    """Return why the files cannot be used, beginning with the name of one; empty if they can.

    Raises:
        StudioError: The trial itself could not be done, which says nothing about the files.
    """
    kept = {name: os.environ[name] for name in ("PATH", "VIRTUAL_ENV", "LANG", "TMPDIR") if name in os.environ}
    request = {"files": files, "seconds": _CPU_SECONDS}
    process = subprocess.Popen(
        [sys.executable, "-P", "-B", "-m", "core.models.trial_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Without the environment's secrets, without access to the Hub, and with one thread.
        env={**kept, "PYTHONPATH": python_path(), "PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1", "RAYON_NUM_THREADS": "1",
             "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        out, _ = process.communicate(json.dumps(request).encode(), timeout=_WALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise StudioError(
            f"The model's files were not tried within {_WALL_SECONDS} seconds. Try again when the machine has less to "
            "do."
        ) from error
    finally:
        process.kill()
        process.communicate()
    return _outcome([json.loads(line) for line in out.splitlines()], process.returncode)


def _outcome(lines: list[dict[str, Any]], code: int) -> str:
    """Return what the worker's lines and its exit code mean, as `_try` does."""
    if lines and "refused" in lines[-1]:
        return lines[-1]["refused"]
    if not lines:
        raise StudioError(
            f"The model's files could not be tried: the process ended with exit code {code} before it began. Check "
            "that enough memory is free, and try again."
        )
    reason = _SIGNALS.get(signal.Signals(-code)) if code < 0 else None
    return f"{lines[-1]['at']} {reason or f'ends the process that reads it (exit code {code})'}"
