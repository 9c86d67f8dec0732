"""Process that reads a foreign model's tokenizer and templates within limits, and reports whether they can be used.

It reads a request as JSON from standard input. Before it reads a file, it writes a line with the file's name: if the
file ends the process, that line is the last. Otherwise the last line holds the reason against the files, which is empty
if there is none.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.models import token_files, tokenizer_bounds
from core.models.bounded_jinja import BoundedTemplate
from core.models.template_budget import TooCostly
from core.models.tokenizer import is_panic
from core.models.tokenizer_bounds import Unusable
from core.system.process_limits import Limits, is_memory_error

# Address space. Without tokenizer.json, transformers is needed to read the other files, and it imports torch.
_MEMORY_BYTES, _MEMORY_WITH_TORCH = 3 * 2**30, 12 * 2**30
_WRITTEN_BYTES = 2**24
# CPU seconds for one text of the table, which takes milliseconds.
_TEXT_SECONDS = 2.0
_MOST_TOKENS_PER_BYTE, _MOST_CHARACTERS_PER_TOKEN = 64, 4_096
# Tokens that a post-processor adds to a text, and how often it repeats the text; [CLS] and [SEP] are two.
_MOST_ADDED, _MOST_COPIES = 1_000, 4
_LONG = 20_000
TEXTS = (
    "", " ", "a", "\0", "What is a tide?", "Ünïcödé ﬁ ﷺ 日本語 한국어 עברית \u200b\ufeff", "🏳️‍🌈", "\t\r\n \u00a0",
    "a" * _LONG, "é" * _LONG, " " * _LONG, "\n" * _LONG, "7" * _LONG, "!" * _LONG, "日" * _LONG, "\u0301" * _LONG,
    "Aa1 !\n" * (_LONG // 6), "ab" * (_LONG // 2) + "!", "".join(map(chr, range(1, 0x3000))),
    "<s></s><unk><|im_start|>user\n<|im_end|>[INST] [/INST]<|eot_id|>", "'s 't 're 've 'm 'll 'd " * 500,
)  # fmt: skip
_QUESTION, _ANSWER = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}
CONVERSATIONS = (
    [_QUESTION], [_QUESTION, _ANSWER], [{"role": "system", "content": "Be brief."}, _QUESTION, _ANSWER],
    [_QUESTION, _ANSWER] * 40, [{"role": "user", "content": "long " * 20_000}],
    [{"role": "user", "content": "<think>\n</think>[INST]<|im_end|>{{ 7 }}"}, {"role": "assistant", "content": ""}],
)  # fmt: skip


def try_files(files: dict[str, str], report: Callable[[str], None]) -> None:
    """Read the files of a model as the studio does.

    Args:
        files: Paths by the names of the files in the model.
        report: Called with the name of a file before it is read.

    Raises:
        Unusable: One cannot be used; the message begins with its name.
    """
    for name, path in files.items():
        report(name)
        _templates(name, Path(path))
    name = next(name for name in ("tokenizer.json", *files) if name in files)
    report(name)
    try:
        encode, decode = _reader(name, files)
        for text in TEXTS:
            _try_text(encode, decode, text)
        _try_special(encode)
    except Unusable as error:
        raise Unusable(f"{name} {error}") from error


def _templates(name: str, path: Path) -> None:
    """Check the bounds of a file beside tokenizer.json, and render its templates."""
    for source in _sources(name, path):
        try:
            template = BoundedTemplate(source)
            for conversation in CONVERSATIONS:
                for is_prompt in (False, True):
                    _render(template, conversation, is_prompt)
        except TooCostly as error:
            raise Unusable(f"{name} has a chat template that cannot be used: {error}") from error
        except Exception:
            # The template refuses this conversation, or is no template. That is reported when it is used.
            continue


def _sources(name: str, path: Path) -> list[str]:
    """Return the sources of the chat templates in a file; most files have none."""
    if name.endswith(".jinja"):
        if (size := path.stat().st_size) > tokenizer_bounds.MAX_BYTES:
            raise Unusable(f"{name} has {size:,} bytes, and at most {tokenizer_bounds.MAX_BYTES:,} are read")
        return [path.read_text(encoding="utf-8", errors="replace")]
    if name not in token_files.FILES:
        return []
    found = token_files.read_token_file(name, path).get("chat_template")
    named = found if isinstance(found, list) else list(found.values()) if isinstance(found, dict) else [found]
    sources = [each.get("template") if isinstance(each, dict) else each for each in named]
    return [source for source in sources if isinstance(source, str)]


def _render(template: BoundedTemplate, conversation: list[dict[str, str]], is_prompt: bool) -> None:
    try:
        template.render(conversation, is_prompt, {"bos_token": "<s>", "eos_token": "</s>"})
    except TooCostly:
        raise
    except Exception:
        # A template may refuse a conversation.
        return


def _reader(name: str, files: dict[str, str]) -> tuple[Callable[[str, bool], list[int]], Callable[[list[int]], str]]:
    """Return functions that encode, with special tokens or without, and decode, of the tokenizer in the files."""
    try:
        if name == "tokenizer.json":
            return tokenizer_bounds.load(Path(files[name]))
        from transformers import AutoTokenizer

        read = AutoTokenizer.from_pretrained(Path(files[name]).parent, trust_remote_code=False)
        # The tokenizer that is made of the files has the bounds of a tokenizer.json.
        if read.is_fast:
            tokenizer_bounds.check(json.loads(read.backend_tokenizer.to_str()))
        return lambda text, special: read(text, add_special_tokens=special)["input_ids"], read.decode
    except Unusable:
        raise
    # Panics of the library are no Exception.
    except BaseException as error:
        raise _unusable(error) from error


def _try_special(encode: Callable[[str, bool], list[int]]) -> None:
    """Check how many tokens a post-processor adds, and how often it repeats the text."""
    text = "Why? " * 200
    try:
        plain, alone, around = len(encode(text, False)), len(encode("", True)), len(encode(text, True))
    except BaseException as error:
        if is_memory_error(error) or is_panic(error):
            raise _unusable(error) from error
        return
    if alone > _MOST_ADDED or around > _MOST_ADDED + _MOST_COPIES * plain:
        raise Unusable(f"has a post_processor that makes {around:,} tokens of {plain:,}")


def _try_text(encode: Callable[[str, bool], list[int]], decode: Callable[[list[int]], str], text: str) -> None:
    before = time.process_time()
    try:
        ids = encode(text, False)
        decoded = decode(ids)
    except BaseException as error:
        # A text that it cannot encode, such as one without an unknown token, is refused where it occurs.
        if is_memory_error(error) or is_panic(error):
            raise _unusable(error) from error
        return
    seconds, size = time.process_time() - before, len(text.encode())
    if seconds > _TEXT_SECONDS:
        raise Unusable(f"takes {seconds:.1f} seconds for a text of {len(text):,} characters")
    if len(ids) > 64 + _MOST_TOKENS_PER_BYTE * size:
        raise Unusable(f"makes {len(ids):,} tokens of a text of {len(text):,} characters")
    if len(decoded) > 64 + _MOST_CHARACTERS_PER_TOKEN * len(ids):
        raise Unusable(f"makes {len(decoded):,} characters of {len(ids):,} tokens")


def _unusable(error: BaseException) -> Unusable:
    if is_memory_error(error):
        return Unusable("needs more memory than a tokenizer may have")
    text = str(error).strip() or type(error).__name__
    return Unusable(f"cannot be read ({text.splitlines()[0][:200]})")


def main() -> None:
    """Answer one request."""
    request: dict[str, Any] = json.load(sys.stdin)
    files = request["files"]
    memory = _MEMORY_BYTES if "tokenizer.json" in files else _MEMORY_WITH_TORCH
    Limits(memory, request["seconds"], _WRITTEN_BYTES).apply()
    refused = ""
    try:
        try_files(files, lambda name: print(json.dumps({"at": name}), flush=True))
    except Unusable as error:
        refused = str(error)
    print(json.dumps({"refused": refused}), flush=True)


if __name__ == "__main__":
    main()
