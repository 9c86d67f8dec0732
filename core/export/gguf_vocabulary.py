"""A tokenizer as fields of a GGUF file, so that llama.cpp splits texts into the same tokens as the studio.

GGUF knows two kinds of the tokenizers that are exported here:

- "gpt2": byte-level BPE with merges. llama.cpp implements each rule that splits a text into words itself, and the field
  `tokenizer.ggml.pre` names it. The rule is found by comparing the tokenizer's own with the known ones; an unknown rule
  is refused, because a similar one would give other tokens for numbers or punctuation.
- "llama": SentencePiece BPE with bytes as a fallback. llama.cpp merges the pair whose joined token has the highest
  score. tokenizer.json has merges in place of scores, so a token's score is the negative rank of its first merge.
"""

import json
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.models.gguf_families import CONVERT_INSTEAD

if TYPE_CHECKING:
    import gguf
    from transformers import PreTrainedTokenizerBase

_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Rules that split a text before merging, as `_splitting_rule` describes them, with llama.cpp's names.
SPLITTING_RULES = {
    ("bytes",): "gpt-2",
    ("digits", "bytes"): "smollm",
    (_LETTERS + r"\p{N}{1,3}" + _REST,): "llama-bpe",
    (_LETTERS + r"\p{N}" + _REST,): "qwen2",
}
# A space in the tokens of SentencePiece.
_SPACE = "▁"
_PHI_TOKENS = ("<unk>", "<s>", "</s>", "<|endoftext|>")
_SPECIAL = ("bos", "eos", "unk", "pad")
# Score of bytes, single characters and special tokens, which are never made by a merge.
_NO_MERGE = 0.0
# Score of longer tokens that no merge makes. With a higher one, llama.cpp would join their parts before other pairs.
_UNREACHABLE = -1e9


def write_vocabulary(
    writer: "gguf.GGUFWriter", tokenizer: "PreTrainedTokenizerBase", size: int, template: str | None
) -> None:
    """Write tokens, merges or scores, special tokens and the chat template.

    Args:
        writer: Receives the fields.
        tokenizer: The tokenizer.
        size: Rows of the model's embeddings; rows without a token become unused tokens.
        template: The chat template; None leaves it out.

    Raises:
        StudioError: GGUF has no name for how the tokenizer splits texts.
    """
    model = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens, kinds = _list_tokens(tokenizer, model, size)
    if model["model"].get("byte_fallback"):
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(tokens)
        writer.add_token_scores(_list_scores(model["model"]["merges"], tokens, kinds))
        writer.add_token_types(kinds)
        writer.add_add_space_prefix(_adds_space(tokenizer))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(find_splitting_rule(model))
        writer.add_token_list(tokens)
        writer.add_token_types(kinds)
        writer.add_token_merges([" ".join(_pair(merge)) for merge in model["model"]["merges"]])
    for name in _SPECIAL:
        if (token := getattr(tokenizer, f"{name}_token_id")) is not None:
            getattr(writer, f"add_{name}_token_id")(token)
    # As the tokenizer itself begins and ends a text.
    starts_with = tokenizer("a").input_ids[:1]
    writer.add_add_bos_token(starts_with == [tokenizer.bos_token_id] and tokenizer.bos_token_id is not None)
    writer.add_add_eos_token(False)
    if template:
        writer.add_chat_template(template)


def find_splitting_rule(model: dict[str, Any]) -> str:
    """Return llama.cpp's name of the rule by which a tokenizer splits texts.

    Args:
        model: tokenizer.json.

    Raises:
        StudioError: llama.cpp has no such rule.
    """
    if model["model"]["type"] != "BPE":
        raise StudioError(
            f"Tokenizers of the type {model['model']['type']!r} cannot be written as GGUF. {CONVERT_INSTEAD}"
        )
    rule = _splitting_rule(model.get("pre_tokenizer") or {})
    if rule not in SPLITTING_RULES or model.get("normalizer") not in (None, {"type": "NFC"}):
        raise StudioError(
            f"This tokenizer splits texts by a rule that GGUF has no name for ({' then '.join(rule) or 'none'})."
            f" {CONVERT_INSTEAD}"
        )
    return SPLITTING_RULES[rule]


def _splitting_rule(pre_tokenizer: dict[str, Any]) -> tuple[str, ...]:
    """Return the steps of a pre-tokenizer: "digits", "bytes", or the regular expression of a split."""
    steps = []
    for step in pre_tokenizer.get("pretokenizers", [pre_tokenizer]):
        if step.get("type") == "Split":
            steps.append(str(step.get("pattern", {}).get("Regex", "a text")))
        elif step.get("type") == "Digits" and step.get("individual_digits"):
            steps.append("digits")
        # With its own expression it splits as GPT-2 did; without it, it only maps bytes to characters.
        elif step.get("type") == "ByteLevel" and step.get("use_regex"):
            steps.append("bytes")
        elif step.get("type") != "ByteLevel":
            steps.append(str(step.get("type")))
    return tuple(steps)


def _list_tokens(tokenizer: "PreTrainedTokenizerBase", model: dict[str, Any], size: int) -> tuple[list[str], list[int]]:
    """Return the text and the kind of each token, for all rows of the embeddings."""
    import gguf

    names = {number: token for token, number in tokenizer.get_vocab().items()}
    added = {token["id"]: token for token in model["added_tokens"]}
    tokens, kinds = [], []
    for number in range(size):
        token, kind = names.get(number), gguf.TokenType.NORMAL
        if token is None:
            token, kind = f"[PAD{number}]", gguf.TokenType.UNUSED
        elif number in added:
            kind = gguf.TokenType.CONTROL if added[number]["special"] else gguf.TokenType.USER_DEFINED
            if kind == gguf.TokenType.USER_DEFINED:
                # llama.cpp looks for these in the text itself, before its spaces are replaced.
                token = token.replace(_SPACE, " ")
        elif model["model"].get("byte_fallback") and len(token) == 6 and token.startswith("<0x"):
            kind = gguf.TokenType.BYTE
        tokens.append(token)
        kinds.append(int(kind))
    return tokens, kinds


def _list_scores(merges: list[Any], tokens: list[str], kinds: list[int]) -> list[float]:
    """Return the score of each token."""
    scores = _scores(merges)
    return [scores.get(token, _default_score(token, kind)) for token, kind in zip(tokens, kinds, strict=True)]


def _scores(merges: list[Any]) -> dict[str, float]:
    """Return the score of each token that a merge makes: the earlier its first merge, the higher."""
    scores: dict[str, float] = {}
    for rank, merge in enumerate(merges):
        scores.setdefault("".join(_pair(merge)), -float(rank + 1))
    return scores


def _default_score(token: str, kind: int) -> float:
    """Return the score of a token that no merge makes."""
    import gguf

    is_text = kind == gguf.TokenType.NORMAL and len(token) > 1
    return _UNREACHABLE if is_text else _NO_MERGE


def strips_as_phi(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Return whether spaces after special tokens are dropped, as llama.cpp does it for a model named Phi-3.

    It then looks for four tokens, and fails without them.
    """
    strips = any(token.rstrip for token in tokenizer.added_tokens_decoder.values() if token.special)
    return strips and set(_PHI_TOKENS) <= set(tokenizer.get_vocab())


def _pair(merge: Any) -> tuple[str, str]:
    """Return both parts of a merge, which older files write as one text with a space."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _adds_space(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Return whether a text gets a space in front, as SentencePiece adds one."""
    return tokenizer.convert_ids_to_tokens(tokenizer("a", add_special_tokens=False).input_ids)[0].startswith(_SPACE)
