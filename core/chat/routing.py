"""One decoder over two: rows that are proved right in a batch decode together, the others on the plain path."""

from collections.abc import Callable

from core.chat.decoder import TokenSequence


class RoutedDecoder:
    """Steps through rows; the same protocol as `core.chat.decoder.Decoder`."""

    def __init__(self, together, plain, is_plain: Callable[[TokenSequence], bool]):
        """
        Args:
            together: the batched decoder, on a GPU the fast one.
            plain: a `core.chat.plain.PlainDecoder`.
            is_plain: decides for each row that joins.
        """
        self.together, self.plain, self._is_plain = together, plain, is_plain

    @property
    def sequences(self) -> list[TokenSequence]:
        return [*self.together.sequences, *self.plain.sequences]

    def join(self, rows: list[TokenSequence]) -> None:
        """Let rows begin."""
        apart = [row for row in rows if self._is_plain(row)]
        if beside := [row for row in rows if not any(row is other for other in apart)]:
            self.together.join(beside)
        if apart:
            self.plain.join(apart)

    def step(self) -> bool:
        """Write a token of every row; return whether any row is left."""
        left = self.together.step() if self.together.sequences else False
        return (self.plain.step() if self.plain.sequences else False) or left

    def clear(self) -> None:
        """Drop every row."""
        self.together.clear()
        self.plain.clear()
