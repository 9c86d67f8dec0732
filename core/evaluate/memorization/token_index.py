"""A suffix array over the tokens of many texts: where does a sequence of tokens occur, and how far does it go on?

    <folder>/tokens.npy      (n,) uint32: tokens of all texts, each followed by SEPARATOR
    <folder>/starts.npy      (texts + 1,) int64: position of the first token of each text, then n
    <folder>/rows.npy        (texts,) int64: row of each text
    <folder>/suffixes.npy    (n,) uint32: positions, sorted by the DEPTH tokens that begin there
    <folder>/firsts.npy      (vocabulary + 1,) int64: where the suffixes of each first token begin

Positions are sorted by their first DEPTH tokens only; among equal ones, a longer match is found by comparing on. All
files are mapped into memory, so a search reads a few pages, and building makes the keys of at most `_BLOCK` positions
at once: those of a million take 0.45 GB meanwhile. The files take 8 bytes per token.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from core.errors import StudioError
from core.system.counting import counted
from core.system.jobs import Progress, ignore_progress

# Tokens by which positions are sorted: longer verbatim spans are rare, and are compared token by token.
DEPTH = 16
# Larger than any token id, so it equals no token of an answer.
SEPARATOR = np.uint32(2**32 - 1)
# Positions are kept in 32 bits.
MAX_TOKENS = 2**32 - 2
# Positions whose keys are made at once; each key takes about 450 bytes meanwhile.
_BLOCK = 1_000_000
# Maximum number of positions with the same first DEPTH tokens that are compared beyond these tokens.
_MAX_EXTENDED = 256
# Tokens of them that are compared at once; the first step decides about their keys, so at least DEPTH.
_STEP = 64
_FILES = ("tokens", "starts", "rows", "suffixes", "firsts")


def build(folder: Path, texts: Iterable[tuple[int, list[int]]], progress: Progress = ignore_progress) -> None:
    """Write the index.

    Args:
        folder: An empty folder for the files.
        texts: Row and token ids of each text.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: There is no token, or more than `MAX_TOKENS`.
    """
    _write_tokens(folder, texts, progress)
    tokens = _load(folder, "tokens")
    firsts = _count_firsts(tokens)
    np.save(folder / "firsts.npy", firsts)
    suffixes = np.lib.format.open_memmap(folder / "suffixes.npy", "w+", np.uint32, tokens.shape)
    total = int(firsts[-1])
    for low, high in _blocks(firsts):
        begin, end = int(firsts[low]), int(firsts[high])
        suffixes[begin:end] = _sort_block(tokens, low, high, end - begin)
        progress(0.2 + 0.8 * end / total, f"Sorting {end:,} of {total:,} positions")
    suffixes.flush()


def _write_tokens(folder: Path, texts: Iterable[tuple[int, list[int]]], progress: Progress) -> None:
    starts, rows, count = [0], [], 0
    raw = folder / "tokens.raw"
    with raw.open("wb") as stream:
        for row, ids in texts:
            stream.write(np.append(np.asarray(ids, np.uint32), SEPARATOR).tobytes())
            count += len(ids) + 1
            starts.append(count)
            rows.append(row)
            if len(rows) % 1000 == 0:
                progress(0.0, f"Reading {counted(len(rows), 'text')}, {counted(count, 'token')}")
            if count > MAX_TOKENS:
                raise StudioError(
                    f"The training rows have more than {MAX_TOKENS:,} tokens, which cannot be indexed. Choose a run "
                    "that was trained on fewer rows."
                )
    if count == len(rows):
        raise StudioError("The training rows contain no text, so nothing can be copied from them. Choose another run.")
    np.save(folder / "starts.npy", np.array(starts, np.int64))
    np.save(folder / "rows.npy", np.array(rows, np.int64))
    target = np.lib.format.open_memmap(folder / "tokens.npy", "w+", np.uint32, (count,))
    target[:] = np.memmap(raw, np.uint32, "r", shape=(count,))
    target.flush()
    raw.unlink()


def _count_firsts(tokens: np.ndarray) -> np.ndarray:
    """Return where the suffixes of each token begin, (vocabulary + 1,); separators begin no suffix."""
    counts = np.zeros(0, np.int64)
    for start in range(0, len(tokens), _BLOCK):
        part = tokens[start : start + _BLOCK]
        found = np.bincount(part[part != SEPARATOR])
        size = max(len(counts), len(found))
        counts = np.pad(counts, (0, size - len(counts))) + np.pad(found, (0, size - len(found)))
    return np.concatenate([[0], np.cumsum(counts)])


def _blocks(firsts: np.ndarray) -> Iterable[tuple[int, int]]:
    """Yield ranges of first tokens, [low, high), with about `_BLOCK` positions; a frequent token is a range alone."""
    low = 0
    while low < len(firsts) - 1:
        high = int(np.searchsorted(firsts, firsts[low] + _BLOCK, side="right")) - 1
        high = min(max(high, low + 1), len(firsts) - 1)
        yield low, high
        low = high


def _sort_block(tokens: np.ndarray, low: int, high: int, size: int) -> np.ndarray:
    """Return the positions whose token is in [low, high), sorted by the DEPTH tokens that begin there, (size,)."""
    positions = np.empty(size, np.uint32)
    filled = 0
    for start in range(0, len(tokens), _BLOCK):
        part = tokens[start : start + _BLOCK]
        found = np.flatnonzero((part >= low) & (part < high)) + start
        positions[filled : filled + len(found)] = found
        filled += len(found)
    # Big-endian bytes compare like the numbers, so one key of bytes sorts all tokens at once. A token more frequent
    # than a block is sorted in pieces that are merged by their keys.
    if size <= _BLOCK:
        return positions[np.argsort(_keys(tokens, positions), kind="stable")]
    pieces = [positions[start : start + _BLOCK] for start in range(0, size, _BLOCK)]
    return _merge([piece[np.argsort(_keys(tokens, piece), kind="stable")] for piece in pieces], tokens)


def _merge(pieces: list[np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """Merge sorted pieces in pairs: find where the positions of one belong in the other, and insert them there."""
    while len(pieces) > 1:
        first, second = pieces.pop(0), pieces.pop(0)
        blocks = (second[start : start + _BLOCK] for start in range(0, len(second), _BLOCK))
        pieces.append(np.insert(first, np.concatenate([_insertion_points(tokens, first, b) for b in blocks]), second))
    return pieces[0]


def _insertion_points(tokens: np.ndarray, first: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Return at which index of `first` each position of a block belongs, (block,); both are sorted by their keys."""
    keys, heads = _keys(tokens, block), _keys(tokens, first[::_BLOCK])
    # `first` is compared in parts of `_BLOCK` positions. Only the parts from `low` to `high` need keys: all keys of the
    # block are behind the parts before these, and before the parts after them.
    low = max(0, int(np.searchsorted(heads, keys[0], side="right")) - 1)
    high = int(np.searchsorted(heads, keys[-1], side="right"))
    points = np.full(len(block), low * _BLOCK)
    for start in range(low * _BLOCK, high * _BLOCK, _BLOCK):
        points += np.searchsorted(_keys(tokens, first[start : start + _BLOCK]), keys, side="right")
    return points


def _keys(tokens: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return the DEPTH tokens from each position as bytes, (n,) of 64 bytes; after the last token follow separators."""
    at = positions[:, None].astype(np.int64) + np.arange(DEPTH)
    found = np.where(at < len(tokens), tokens[np.minimum(at, len(tokens) - 1)], SEPARATOR)
    # Tokens after a separator belong to another text and must not decide the order.
    ended = np.cumsum(found == SEPARATOR, axis=1) > 0
    found[ended] = SEPARATOR
    return np.ascontiguousarray(found.astype(">u4")).view(f"S{4 * DEPTH}").ravel()


def _load(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)


class TokenIndex:
    """A search in a built index."""

    def __init__(self, folder: Path):
        self._tokens, self._starts, self._rows, self._suffixes, firsts = (_load(folder, name) for name in _FILES)
        # Behind the sorted positions, the file has unused items: one per separator.
        self._size = int(firsts[-1])

    @property
    def texts(self) -> int:
        """Return the number of texts."""
        return len(self._rows)

    def longest_matches(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far the tokens from each position of an answer go on in some text, and the row of such a text.

        Args:
            ids: Token ids, (n,), uint32.

        Returns:
            The lengths, (n,), and the rows, (n,); a row is -1 where the length is 0.
        """
        wanted = _keys(ids, np.arange(len(ids)))
        at = self._insert(wanted)
        lengths, rows = np.zeros(len(ids), np.int64), np.full(len(ids), -1, np.int64)
        # The longest common prefix is that of a neighbor in the order.
        for neighbor in (at - 1, at):
            inside = (neighbor >= 0) & (neighbor < self._size)
            positions = self._suffixes[np.where(inside, neighbor, 0)].astype(np.int64)
            common = np.where(inside, _count_common(_keys(self._tokens, positions), wanted), 0)
            better = common > lengths
            lengths[better] = common[better]
            rows[better] = self._rows_of(positions[better])
        for index in np.flatnonzero(lengths == DEPTH):
            # The match of the position before goes on here.
            least = int(lengths[index - 1]) - 1 if index else 0
            lengths[index], row = self._extend(int(at[index]), ids[index:], max(0, least))
            rows[index] = row if row >= 0 else rows[index - 1]
        return lengths, rows

    def _insert(self, wanted: np.ndarray) -> np.ndarray:
        """Return where each key belongs in the order, (n,): before all suffixes that are not smaller."""
        low, high = np.zeros(len(wanted), np.int64), np.full(len(wanted), self._size, np.int64)
        while (low < high).any():
            middle = (low + high) // 2
            found = _keys(self._tokens, self._suffixes[np.minimum(middle, self._size - 1)].astype(np.int64))
            smaller = (found < wanted) & (low < high)
            low, high = np.where(smaller, middle + 1, low), np.where(smaller | (low >= high), high, middle)
        return low

    def _extend(self, low: int, ids: np.ndarray, least: int) -> tuple[int, int]:
        """Return the longest match among suffixes with the same key; of very many only some are compared.

        Args:
            low: Index of the first suffix with the key.
            ids: The rest of the answer, which begins with the key.
            least: Length of a match that is known, or 0. An answer that repeats one word has as many suffixes as there
                may be at each of its positions, and only those that can be longer are compared.

        Returns:
            The length and the row; (`least`, -1) if no match is longer.
        """
        positions = self._suffixes[low : min(self._size, low + _MAX_EXTENDED)].astype(np.int64)
        ends = self._starts[np.searchsorted(self._starts, positions, side="right")] - 1
        positions, length = positions[ends - positions > least], 0
        while length < len(ids) > least and len(positions):
            # Suffixes with a greater key, behind the others, drop out in the first step. The steps grow with the length
            # of the match.
            part = ids[length : max(2 * length, _STEP)]
            at = positions[:, None] + np.arange(length, length + len(part))  # (suffixes, part)
            # The last token is a separator.
            equal = self._tokens[np.minimum(at, len(self._tokens) - 1)] == part
            common = np.where(equal.all(axis=1), len(part), equal.argmin(axis=1))
            furthest = int(common.max())
            positions, length = positions[common == furthest], length + furthest
            if furthest < len(part):
                break
        return (length, int(self._rows_of(positions[:1])[0])) if length > least else (least, -1)

    def _rows_of(self, positions: np.ndarray) -> np.ndarray:
        return self._rows[np.searchsorted(self._starts, positions, side="right") - 1]


def _count_common(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the number of tokens that two keys have in common at their beginning, (n,); separators do not count."""
    one, other = (keys.view(">u4").reshape(-1, DEPTH) for keys in (first, second))
    equal = (one == other) & (one != SEPARATOR)
    return np.where(equal.all(axis=1), DEPTH, equal.argmin(axis=1))
