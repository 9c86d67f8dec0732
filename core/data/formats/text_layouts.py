"""Lines of other tools that look like plain text: labels of fastText, tagged words, LIBSVM, pairs between bars or tabs.

Trained as they are, such lines teach a model their layout. So the page asks, and the doubt says how to convert them.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

_MIN_TEXTS = 3
# Share of the texts that must have the same number of cells.
_MIN_SHARE = 0.95
_FASTTEXT = re.compile(r"\s*__label__\S+")
_VECTOR = re.compile(r"\s*[+-]?\d+(?:\.\d+)?(?:\s+\d+:[+-]?[\d.]+(?:[eE][+-]?\d+)?)+\s*")
# The last column of tagged words: the tag of a name, or a part of speech of Penn or the Universal Dependencies.
_NAME_TAG = re.compile(r"O|[BIESLU]-\S+")
_BARS = " ||| "


def layout_doubt(texts: Sequence[str]) -> str:
    """Return the doubt that texts are lines of another tool; "" if they are not.

    Args:
        texts: The texts of a column in the first rows.
    """
    if len(texts) < _MIN_TEXTS:
        return ""
    tests: tuple[tuple[Callable[[str], bool], str], ...] = (
        (
            lambda text: _FASTTEXT.match(text) is not None,
            "'__label__' begins the texts, as in a file for fastText; write the label and the text as two columns",
        ),
        (lambda text: _VECTOR.fullmatch(text) is not None, "the texts are vectors of numbers, as in a file for LIBSVM"),
        (
            _is_tagged,
            "the texts are words with tags, one per line (CoNLL), and no format reads tags; write the words of a "
            "sentence as the question and what to find as the answer",
        ),
    )
    found = next((doubt for test, doubt in tests if 2 * sum(map(test, texts)) > len(texts)), "")
    return found or _cells_doubt(texts)


def _is_tagged(text: str) -> bool:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    widths = {len(line) for line in lines}
    return (
        len(lines) > 1 and len(widths) == 1 and min(widths) > 1 and all(_NAME_TAG.fullmatch(line[-1]) for line in lines)
    )


def _cells_doubt(texts: Sequence[str]) -> str:
    for between, shown in ((_BARS, "' ||| '"), ("\t", "tabs")):
        widths = Counter(text.strip().count(between) for text in texts if "\n" not in text.strip())
        [(count, lines)] = widths.most_common(1) or [(0, 0)]
        if count and lines >= _MIN_SHARE * len(texts):
            return f"the texts have {count + 1} cells between {shown}, which may be a question and its answer"
    return ""
