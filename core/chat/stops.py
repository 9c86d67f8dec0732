"""When an answer ends, apart from its length: at the model's and the template's end tokens, and at stop words.

A stop word that is one of the tokenizer's special tokens, or holds one, is found too, although the shown text leaves
special tokens out. An end that is several tokens (ChatML on a Llama tokenizer) is found in the text.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from core.chat.types import End
from core.data.end_tokens import EndTokens, special_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Stops:
    """The ends of one lane's answers.

    Attributes:
        longest: bytes of the longest text that ends an answer, and so as many tokens at most; 0 for none.
    """

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", eos: Iterable[int], ends: EndTokens, words: Iterable[str] = ()
    ):
        """
        Args:
            eos: the model's own end tokens.
            ends: those of the chat template.
            words: the user's stop words.
        """
        self._tokenizer = tokenizer
        self._special = sorted(special_tokens(tokenizer), key=len, reverse=True)
        added = tokenizer.get_added_vocab()
        words = list(words)
        self._ids: dict[int, End] = {added[word.strip()]: "stop word" for word in words if word.strip() in added}
        self._ids |= dict.fromkeys([*eos, *ends.ids], "end")
        shown: dict[str, End] = {word: "stop word" for word in words if word.strip() not in added}
        shown |= dict.fromkeys(ends.stop_strings, "end")
        self._marked = {text: end for text, end in shown.items() if any(token in text for token in self._special)}
        self._shown = {text: end for text, end in shown.items() if text not in self._marked}
        self.longest = max((len(text.encode()) for text in shown), default=0)

    @property
    def ids(self) -> list[int]:
        """Every token that ends an answer."""
        return sorted(self._ids)

    @property
    def texts(self) -> list[str]:
        """Every text that ends an answer."""
        return [*self._shown, *self._marked]

    def at_token(self, token: int) -> End:
        """Return how a token ends an answer; empty when it does not."""
        return self._ids.get(token, "")

    def in_text(self, ids: list[int], text: str | None = None) -> tuple[End, str]:
        """Return how a text among the tokens `ids` ends the answer, and the answer before it.

        Args:
            text: `ids` decoded without special tokens, where that is known.
        """
        text = self._tokenizer.decode(ids, skip_special_tokens=True) if text is None else text
        found = [(text[:at], end) for word, end in self._shown.items() if (at := text.find(word)) >= 0]
        if self._marked:
            raw = self._tokenizer.decode(ids, skip_special_tokens=False)
            found += [(self._plain(raw[:at]), end) for word, end in self._marked.items() if (at := raw.find(word)) >= 0]
        if not found:
            return "", text
        before, end = min(found, key=lambda hit: len(hit[0]))
        return end, before

    def _plain(self, text: str) -> str:
        for token in self._special:
            text = text.replace(token, "")
        return text
