"""Decoder that combines two: sequences that are right in a batch decode together, the others one at a time."""

from collections.abc import Callable
from typing import Protocol

from core.chat.decoder import TokenSequence


class SequenceDecoder(Protocol):
    """Interface of all decoders (`core.chat.decoder.Decoder` describes the methods)."""

    @property
    def sequences(self) -> list[TokenSequence]:
        """Return all sequences under way."""

    def join(self, sequences: list[TokenSequence]) -> None:
        """Add sequences."""

    def step(self) -> bool:
        """Decode one token of every sequence; return whether any is left."""

    def clear(self) -> None:
        """Drop all sequences."""


class RoutedDecoder:
    """Decoder that passes each sequence to one of two decoders when it joins."""

    def __init__(self, batched: SequenceDecoder, plain: SequenceDecoder, needs_plain: Callable[[TokenSequence], bool]):
        """Combine two decoders.

        Args:
            batched: Decodes sequences together.
            plain: Decodes each sequence by itself.
            needs_plain: Decides for each sequence that joins.
        """
        self.batched, self.plain, self._needs_plain = batched, plain, needs_plain

    @property
    def sequences(self) -> list[TokenSequence]:
        """Return all sequences under way."""
        return [*self.batched.sequences, *self.plain.sequences]

    def join(self, sequences: list[TokenSequence]) -> None:
        """Add sequences."""
        plain, batched = [], []
        for sequence in sequences:
            (plain if self._needs_plain(sequence) else batched).append(sequence)
        if batched:
            self.batched.join(batched)
        if plain:
            self.plain.join(plain)

    def step(self) -> bool:
        """Decode one token of every sequence; return whether any is left."""
        is_left = self.batched.step() if self.batched.sequences else False
        return (self.plain.step() if self.plain.sequences else False) or is_left

    def clear(self) -> None:
        """Drop all sequences."""
        self.batched.clear()
        self.plain.clear()
