"""Marks of turns in styles that are not listed, such as labels of speakers, and layouts of other tools."""

import re
from collections import Counter
from collections.abc import Sequence

from core.data.formats.text_layouts import layout_doubt

# Words before a colon at the start of a line, and special tokens: marks of turns in styles that are not listed above.
# A label may be in any script, and its colon a full-width one; Person1 may be between two #.
_LINE_LABEL = re.compile(r"^[ \t#*>|\[(<-]{0,6}([^\W\d_][\w ]{0,23}?)[\])>|*# ]{0,4}[:：]", re.MULTILINE)
_SPEAKER_LABEL = re.compile(r"(?<!\w)(question|answer|q|a|user|assistant|bot|human|prompt|response)\s?:", re.IGNORECASE)
_TOKEN = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<｜[^｜<>\s]{1,40}｜>|\[/?[A-Z_]{2,20}\]|</?(?:user|assistant|human|bot|system|question|answer|prompt|response|instruction|input|output|query|completion)>"
)
# Characters of a text in which marks are looked for.
_MARK_CHARACTERS = 20_000


def marks_doubt(cells: Sequence[str]) -> str:
    """Return the doubt that texts are in the layout of another tool or have marks of turns; "" if not."""
    if doubt := layout_doubt(cells):
        return doubt
    marks = _find_unlisted_marks(cells)
    shown = f"{marks[0]!r} and {marks[1]!r}" if marks else ""
    return f"{shown} may mark turns; rewrite them as columns or as one of the marks known" if marks else ""


def _find_unlisted_marks(texts: Sequence[str]) -> list[str]:
    """Return what may mark turns in a style that is not in MARK_STYLES: marks that most of the texts contain.

    Args:
        texts: Texts of several rows.

    Returns:
        The marks, the most frequent first; empty where there are not two different ones, as a conversation needs.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        head = text[:_MARK_CHARACTERS]
        labels = [
            found.strip().capitalize() + ":" for found in _LINE_LABEL.findall(head) + _SPEAKER_LABEL.findall(head)
        ]
        # In the order of the text, so that marks that are equally frequent are named in the same order every time.
        counts.update(dict.fromkeys(labels + _TOKEN.findall(head)).keys())
    frequent = [mark for mark, count in counts.most_common() if 2 * count > len(texts)]
    return frequent if len(texts) > 1 and len(frequent) > 1 else []
