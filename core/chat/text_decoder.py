r"""Incremental decoding of tokens to text, in time linear in the number of tokens.

Decoding one token by itself is wrong: a character may be spread over several tokens, and many tokenizers drop the space
before the first word of what they decode. So each read decodes a short window: the tokens of the last piece of text,
which are known to be right, and the pending tokens behind them. What the window's text adds is the next piece.

    ids      t0 t1 t2 t3 | t4 t5 | t6 t7
             committed   |window |pending      piece = decode(t4 t5 t6 t7) minus decode(t4 t5)

Tokens stay pending while their text may still change:

- the text ends with U+FFFD: the last bytes may be the beginning of a character;
- the last token is a byte such as <0xE2> of a SentencePiece vocabulary: its decoder turns a whole run of bytes into
  U+FFFD if the run is not valid UTF-8, so nothing of a run is certain before it ends.
"""

from typing import TYPE_CHECKING

from core.models.tokenizer import decode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_INCOMPLETE = "\ufffd"
# From here on a pending run is decoded only when its length doubles, so that even a run as long as the answer is
# decoded in linear time.
_MAX_PENDING_TOKENS = 64


class TextDecoder:
    """Decoder of one growing sequence of tokens.

    The committed `text` never changes and never ends in the middle of a character. After `finish`, it is equal to
    decoding all tokens at once.

    Attributes:
        text: Text of the committed tokens.
        pending_text: Text of the pending tokens as they would decode now; it may still change.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", skip_special_tokens: bool = True):
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder if skip_special_tokens else {}
        self._skipped_ids = {token for token, entry in added.items() if entry.special}
        self._window: list[int] = []
        self._window_text = ""
        self._pending: list[int] = []
        self.text = ""
        self.pending_text = ""

    def push(self, token: int) -> None:
        """Append a token. It is decoded at the next `read` or `finish`."""
        # Skipped tokens must not enter the window: bytes on both sides of one decode as a single run.
        if token not in self._skipped_ids:
            self._pending.append(token)

    def read(self) -> str:
        """Decode the pending tokens, and return the text that became certain."""
        if not self._pending or self._waits():
            return ""
        piece, text = self._decode_pending()
        if text.endswith(_INCOMPLETE) or self._is_byte(self._pending[-1]):
            self.pending_text = piece
            return ""
        self._commit(piece)
        return piece

    def finish(self) -> str:
        """Commit all pending tokens, whatever they decode to, and return their text."""
        if not self._pending:
            return ""
        piece, _ = self._decode_pending()
        self._commit(piece)
        return piece

    def _waits(self) -> bool:
        """Return whether decoding a long pending run is put off until its length has doubled."""
        count = len(self._pending)
        is_power_of_two = count & (count - 1) == 0
        if count <= _MAX_PENDING_TOKENS or is_power_of_two:
            return False
        has_byte_run_ended = self._is_byte(self._pending[-2]) and not self._is_byte(self._pending[-1])
        return not has_byte_run_ended

    def _is_byte(self, token: int) -> bool:
        text = self._tokenizer.convert_ids_to_tokens(token)
        return text is not None and len(text) == 6 and text.startswith("<0x") and text.endswith(">")

    def _decode_pending(self) -> tuple[str, str]:
        """Return the text of the pending tokens, and the text of the whole window."""
        text = self._decode([*self._window, *self._pending])
        return text[len(self._window_text) :], text

    def _commit(self, piece: str) -> None:
        self.text += piece
        self.pending_text = ""
        # Tokens without text must not become the window alone: the space before the next word would be taken for the
        # beginning of the text, and dropped.
        self._window = self._pending if piece else [*self._window, *self._pending]
        self._window_text = self._decode(self._window)
        self._pending = []

    def _decode(self, ids: list[int]) -> str:
        # Cleaning up removes spaces before punctuation across tokens, so no piece of the text would ever be certain.
        return decode(self._tokenizer, ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
