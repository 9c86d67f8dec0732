"""Conditions that end an answer, apart from its length: end tokens, and texts such as stop words.

End tokens are those of the model and of the chat template. A stop word that is one of the tokenizer's special tokens,
or contains one, is found although the shown text leaves special tokens out. A template's end that is several tokens
(ChatML on a Llama tokenizer) is found in the text like a stop word.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from core.chat.types import End
from core.data.end_tokens import EndTokens, special_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# End tokens of a text without a chat template: none.
NO_ENDS = EndTokens((), frozenset(), (), "", "")


class StopConditions:
    """Conditions that end one lane's answers.

    Attributes:
        max_chars: Length of the longest text that ends an answer, in characters; 0 if there is none.
        needs_special_tokens: Whether some of these texts contain special tokens, so that `find` needs the raw text.
    """

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", eos: Iterable[int], ends: EndTokens, words: Iterable[str] = ()
    ):
        """Sort the conditions by how they are found.

        Args:
            tokenizer: The model's tokenizer.
            eos: The model's own end tokens.
            ends: End tokens and end texts of the chat template.
            words: The user's stop words.
        """
        # Longest first: a special token may be the beginning of another one.
        self._special = sorted(special_tokens(tokenizer), key=len, reverse=True)
        added = tokenizer.get_added_vocab()
        words = list(words)
        self._ids: dict[int, End] = {added[word.strip()]: "stop word" for word in words if word.strip() in added}
        # The model's ends come last: where a stop word names one of them, the answer ended by itself.
        self._ids |= dict.fromkeys([*eos, *ends.ids], "end")
        texts: dict[str, End] = {word: "stop word" for word in words if word.strip() not in added}
        texts |= dict.fromkeys(ends.stop_strings, "end")
        self._raw_texts = {text: end for text, end in texts.items() if any(token in text for token in self._special)}
        self._plain_texts = {text: end for text, end in texts.items() if text not in self._raw_texts}
        self.max_chars = max(map(len, texts), default=0)

    @property
    def ids(self) -> list[int]:
        """Return all tokens that end an answer."""
        return sorted(self._ids)

    @property
    def texts(self) -> list[str]:
        """Return all texts that end an answer."""
        return [*self._plain_texts, *self._raw_texts]

    @property
    def needs_special_tokens(self) -> bool:
        """Return whether `find` needs the text with special tokens."""
        return bool(self._raw_texts)

    def at_token(self, token: int) -> End:
        """Return how a token ends the answer; empty if it does not."""
        return self._ids.get(token, "")

    def find(self, text: str, raw_text: str = "", start: int = 0, raw_start: int = 0) -> tuple[End, str]:
        """Search an answer for the first text that ends it.

        Args:
            text: The answer without special tokens.
            raw_text: The answer with special tokens; needed only if `needs_special_tokens`.
            start: Number of characters of `text` that were searched before.
            raw_start: The same for `raw_text`.

        Returns:
            How the answer ends, empty if it does not; and the answer up to there, without special tokens.
        """
        # A match may begin in the part that was searched before.
        start, raw_start = max(0, start - self.max_chars), max(0, raw_start - self.max_chars)
        hits = [(text[:at], end) for word, end in self._plain_texts.items() if (at := text.find(word, start)) >= 0]
        hits += [
            (self._without_special_tokens(raw_text[:at]), end)
            for word, end in self._raw_texts.items()
            if (at := raw_text.find(word, raw_start)) >= 0
        ]
        if not hits:
            return "", text
        before, end = min(hits, key=lambda hit: len(hit[0]))
        return end, before

    def unsettled_chars(self, text: str) -> int:
        """Return how many characters at the end of an unfinished answer a text that ends it may still cut off.

        Args:
            text: The answer without special tokens; no text that ends it was found in it.
        """
        if self._raw_texts:
            # Special tokens between them are not shown, so more characters cannot belong to one of these texts.
            return min(len(text), self.max_chars)
        # The longest beginning of one of these texts at the end of the answer.
        return max(
            (size for word in self._plain_texts for size in range(1, len(word)) if text.endswith(word[:size])),
            default=0,
        )

    def _without_special_tokens(self, text: str) -> str:
        for token in self._special:
            text = text.replace(token, "")
        return text
