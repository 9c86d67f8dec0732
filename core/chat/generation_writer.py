"""Conversion of the tokens of one sequence to its answer: text, probabilities, and where it ends.

Chat and evaluations share this writer, so an answer has the same text, token count and end in both. A chat reads the
text after every token. An evaluation leaves it to the end, unless stop words must be searched for: for hundreds of
sequences, turning tokens into text is most of the processor's work.
"""

import time
from typing import TYPE_CHECKING

from core.chat.program_request import LikelyToken
from core.chat.stops import StopConditions
from core.chat.text_decoder import TextDecoder
from core.chat.types import End, Generation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class GenerationWriter:
    """Writer of one `Generation`."""

    def __init__(
        self,
        generation: Generation,
        tokenizer: "PreTrainedTokenizerBase",
        stops: StopConditions,
        max_new_tokens: int,
        prefix_ids: list[int] | None = None,
        is_streamed: bool = True,
    ):
        """Start the answer with the tokens that it continues.

        Args:
            generation: Where the answer is written to.
            tokenizer: The model's tokenizer.
            stops: What ends the answer.
            max_new_tokens: Tokens after which the answer ends if nothing else ends it.
            prefix_ids: Tokens of an unfinished answer that is continued.
            is_streamed: Whether the text is read while the answer is written.
        """
        self._generation, self._stops, self._max_new_tokens = generation, stops, max_new_tokens
        self._decoder = TextDecoder(tokenizer)
        # Special tokens count only where a stop word contains one.
        self._raw_decoder = TextDecoder(tokenizer, skip_special_tokens=False) if stops.needs_special_tokens else None
        self._reads_text = is_streamed or stops.max_chars > 0
        self._started = time.perf_counter()
        generation.ids = list(prefix_ids or ())
        generation.tokens = generation.prefix_tokens = len(generation.ids)
        for token in generation.ids:
            self._push(token)
        if generation.ids:
            self._read_text()
        self._prefix_chars = len(self._decoder.text)

    def add(self, token: int, logprob: float | None = None, likely: list[LikelyToken] | None = None) -> int | None:
        """Add a token; return it, or None if the answer has ended.

        Args:
            token: The next token.
            logprob: Its log-probability under the model; None if it is not known.
            likely: The most likely tokens at its position; None if they are not kept.
        """
        generation = self._generation
        generation.seconds = time.perf_counter() - self._started
        generation.first_token_seconds = generation.first_token_seconds or generation.seconds
        generation.tokens += 1
        end = self._stops.at_token(token)
        if not end:
            generation.ids.append(token)
            if logprob is not None:
                generation.logprobs.append(logprob)
            if likely is not None:
                generation.scores.top.append(likely)
            self._push(token)
            end = self._find_stop() if self._reads_text else ""
        if not end and generation.tokens - generation.prefix_tokens >= self._max_new_tokens:
            end = "length"
        if end:
            self.finish(end)
        return None if end else token

    def finish(self, end: End) -> None:
        """End the answer.

        Args:
            end: The reason.
        """
        generation = self._generation
        rest = self._decoder.finish()
        if generation.pieces:
            generation.pieces[-1] += rest
        text = self._decoder.text
        if self._stops.max_chars:
            raw = self._finished_raw_text()
            found, text = self._stops.find(text, raw)
            end = found or end
        # A truncated answer may end within a character; one that ended by itself may end with any character.
        generation.text = text if end == "end" else text.rstrip("\ufffd")
        generation.scores.settled_chars = len(generation.text)
        self._trim_pieces()
        generation.end = end

    def _push(self, token: int) -> None:
        self._decoder.push(token)
        if self._raw_decoder is not None:
            self._raw_decoder.push(token)

    def _find_stop(self) -> End:
        """Decode the last token, and return how the text ends the answer; empty if it does not."""
        searched = len(self._decoder.text)
        raw_searched = len(self._raw_decoder.text) if self._raw_decoder is not None else 0
        self._generation.pieces.append(self._read_text())
        raw = ""
        if self._raw_decoder is not None:
            self._raw_decoder.read()
            raw = self._raw_decoder.text + self._raw_decoder.pending_text
        end, _ = self._stops.find(self._decoder.text + self._decoder.pending_text, raw, searched, raw_searched)
        if not end:
            text = self._decoder.text
            self._generation.scores.settled_chars = len(text) - self._stops.unsettled_chars(text)
        return end

    def _read_text(self) -> str:
        piece = self._decoder.read()
        # Half a character is not shown.
        self._generation.text = self._decoder.text + self._decoder.pending_text.rstrip("\ufffd")
        return piece

    def _finished_raw_text(self) -> str:
        if self._raw_decoder is None:
            return ""
        self._raw_decoder.finish()
        return self._raw_decoder.text

    def _trim_pieces(self) -> None:
        """Shorten the pieces to the text, which a stop word may have shortened, so that they still join to it."""
        left = max(0, len(self._generation.text) - self._prefix_chars)
        pieces = self._generation.pieces
        for index, piece in enumerate(pieces):
            pieces[index] = piece[:left]
            left -= len(pieces[index])
