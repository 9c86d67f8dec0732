"""Reader of tokenizers that gives the ids of the model's own tokenizer.json.

transformers 5 rebuilds the pipeline of many classes from the vocabulary, and keeps only the vocabulary and merges of
tokenizer.json. Llama 2's file prepends `▁` to every piece between special tokens; the rebuilt
`Metaspace(prepend_scheme="first")` does so at the start of the text only, so that the first token of each turn after
`<s>` becomes `[` (29961) where Meta's reference code, llama.cpp and the `tokenizers` library give `▁[` (518). Files of
the classes of Gemma, GPT-2, T5, XGLM and BERT can differ from what is rebuilt in the same way (test_tokenizer.py).
Models were trained with their file, and other programs send what the file gives, so the file is right: its normalizer,
pre-tokenizer, model, decoder and added tokens replace the rebuilt ones. Special tokens by name, templates and the
post-processor stay as transformers reads them from tokenizer_config.json.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.system.files import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FILE = "tokenizer.json"
_GENERAL_CLASSES = ("PythonBackend", "PreTrainedTokenizer", "SentencePieceBackend", "MistralCommonBackend")
# More than the tokens of a text in any language have on average.
_CHARACTERS_PER_TOKEN = 16


def read(path: str, revision: str | None = None) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a model.

    Args:
        path: A folder or the id of a repository.
        revision: Branch, tag or commit; None for the main branch.

    Raises:
        StudioError: The class that the files name reads other files than those of a fast tokenizer.
    """
    from transformers import AutoTokenizer
    from transformers.utils import cached_file

    _check_class(path, revision)
    tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
    file = cached_file(path, FILE, revision=revision, _raise_exceptions_for_missing_entries=False)
    if tokenizer.is_fast and file is not None:
        _restore(tokenizer, str(file))
    return tokenizer


def padding_id(tokenizer: "PreTrainedTokenizerBase", vocabulary: int) -> int:
    """Return a token to pad with, which is masked: one that the model has an embedding for.

    A pad token that was added to the tokenizer alone (`<pad>` = 32000 of 32000 rows) lies outside the matrix.

    Args:
        tokenizer: The tokenizer.
        vocabulary: Rows of the embedding matrix.
    """
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(token for token in candidates if token is not None and token < vocabulary)


class TooManyTokensError(Exception):
    """A text has too many tokens; the argument is how many its beginning has."""


def is_panic(error: BaseException) -> bool:
    """Return whether an error is a panic of the `tokenizers` library, which is no `Exception`."""
    return type(error).__name__ == "PanicException"


def encode(tokenizer: "PreTrainedTokenizerBase", text: str | list[str], **options: bool) -> Mapping[str, Any]:
    """Return the tokens of a text, without the special tokens that the tokenizer itself would add.

    Args:
        tokenizer: The tokenizer.
        text: The text, or several of them, whose values are then lists.
        options: Passed on to the tokenizer; `add_special_tokens=True` adds those tokens.

    Raises:
        ValueError: The tokenizer fails on the text, as with a pattern that needs too many steps.
    """
    with _panics_as_errors():
        return tokenizer(text, **({"add_special_tokens": False} | options))


def check_length(tokenizer: "PreTrainedTokenizerBase", text: str, most: int) -> None:
    """Check by the beginnings of a long text that it has not far too many tokens, before it is encoded as a whole.

    A text of megabytes takes a minute, in which no answer is written.

    Args:
        tokenizer: The tokenizer.
        text: The text.
        most: Number of tokens that are allowed; a text of up to twice as many may pass.

    Raises:
        TooManyTokensError: The text has more.
        ValueError: The tokenizer fails on the text.
    """
    size = _CHARACTERS_PER_TOKEN * most
    while size < len(text):
        # The end of a beginning may be split into more tokens than the same characters are in the whole text.
        if (count := len(encode(tokenizer, text[:size])["input_ids"])) > 2 * most:
            raise TooManyTokensError(count)
        size *= 4


def decode(tokenizer: "PreTrainedTokenizerBase", ids: list[int], **options: bool) -> str:
    """Return the text of tokens.

    Args:
        tokenizer: The tokenizer.
        ids: The tokens.
        options: Passed on to the tokenizer.

    Raises:
        ValueError: The tokenizer fails on the tokens.
    """
    with _panics_as_errors():
        return tokenizer.decode(ids, **options)


class _panics_as_errors:
    """Context that turns errors of the `tokenizers` library into a ValueError.

    They have no type of their own, and its panics would end a thread that catches exceptions.
    """

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None and (kind is Exception or is_panic(error)):
            raise ValueError(f"the tokenizer fails on it: {str(error).strip()[:200]}") from error


def _check_class(path: str, revision: str | None) -> None:
    """Check that the class that the files name is one of fast tokenizers, before it reads anything.

    The others read files that were not tried (core/models/trial.py), such as whole tokenizers in subfolders, and none
    of them can be used here. transformers takes the class of tokenizer_config.json, else that of config.json.
    """
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name
    from transformers.tokenization_utils_tokenizers import TokenizersBackend
    from transformers.utils import cached_file

    options = {"revision": revision, "_raise_exceptions_for_missing_entries": False}
    found = [cached_file(path, name, **options) for name in ("tokenizer_config.json", "config.json")]
    contents = [read_json(Path(file)) if file else {} for file in found]
    named = next((content["tokenizer_class"] for content in contents if content.get("tokenizer_class")), None)
    named = named or TOKENIZER_MAPPING_NAMES.get(contents[1].get("model_type"))
    if not isinstance(named, str):
        return
    # "XLMTokenizerFast", which does not exist, is taken as "XLMTokenizer".
    kinds = [tokenizer_class_from_name(name) for name in (named, named.removesuffix("Fast"))]
    # transformers takes a fast class in place of its general ones.
    is_fast = [issubclass(kind, TokenizersBackend) or kind.__name__ in _GENERAL_CLASSES for kind in kinds if kind]
    if not all(is_fast):
        raise StudioError(f"The model at {path!r} names {named}, which is no fast tokenizer. Choose another model.")


def _restore(tokenizer: "PreTrainedTokenizerBase", file: str) -> None:
    """Give the tokenizer the pipeline of its file."""
    from tokenizers import Tokenizer

    own, backend = Tokenizer.from_file(file), tokenizer.backend_tokenizer
    backend.model = own.model
    backend.normalizer, backend.pre_tokenizer, backend.decoder = own.normalizer, own.pre_tokenizer, own.decoder
    known = tokenizer.added_tokens_decoder
    added = own.get_added_tokens_decoder()
    # A token that transformers names as special stays special, which decides whether decoding shows it.
    backend.add_tokens([token for at, token in sorted(added.items()) if at not in known or _differs(known[at], token)])


def _differs(one: object, other: object) -> bool:
    flags = ("content", "lstrip", "rstrip", "single_word", "normalized")
    return any(getattr(one, flag) != getattr(other, flag) for flag in flags)
