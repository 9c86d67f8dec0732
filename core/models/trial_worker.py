"""Process that reads a foreign model's tokenizer and templates within limits, and reports whether they can be used.

It reads a request as JSON from standard input. It writes a line with the file that it is about to read, so that its
end tells which one ended it, and a last line with the reason against the files, which is empty if there is none.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.models import tokenizer_bounds
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
    except Unusable as error:
        raise Unusable(f"{name} {error}") from error


def _templates(name: str, path: Path) -> None:
    """Render the templates of a file."""
    if not name.endswith((".jinja", "config.json")):
        return
    for source in tokenizer_bounds.templates_of(name, path):
        try:
            template = BoundedTemplate(source)
            for conversation in CONVERSATIONS:
                for is_prompt in (False, True):
                    _render(template, conversation, is_prompt)
        except TooCostly as error:
            raise Unusable(f"{name} has a chat template that cannot be used: {error}") from error
        except Exception:
            # It refuses all conversations, or is no template: that is reported where it is chosen.
            continue


def _render(template: BoundedTemplate, conversation: list[dict[str, str]], is_prompt: bool) -> None:
    try:
        template.render(conversation, is_prompt, {"bos_token": "<s>", "eos_token": "</s>"})
    except TooCostly:
        raise
    except Exception:
        # A template may refuse a conversation.
        return


def _reader(name: str, files: dict[str, str]) -> tuple[Callable[[str], list[int]], Callable[[list[int]], str]]:
    """Return functions that encode and decode, of the tokenizer in the files."""
    try:
        if name == "tokenizer.json":
            return tokenizer_bounds.load(Path(files[name]))
        from transformers import AutoTokenizer

        read = AutoTokenizer.from_pretrained(Path(files[name]).parent, trust_remote_code=False)
        return lambda text: read(text, add_special_tokens=False)["input_ids"], read.decode
    except Unusable:
        raise
    # Panics of the library are no Exception.
    except BaseException as error:
        raise _unusable(error) from error


def _try_text(encode: Callable[[str], list[int]], decode: Callable[[list[int]], str], text: str) -> None:
    before = time.process_time()
    try:
        ids = encode(text)
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
