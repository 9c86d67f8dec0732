"""Lines that look like plain text: of fastText, LIBSVM and CoNLL, of a chat, and pairs between tabs, bars or arrows.

Trained as they are, such lines teach a model their layout. So the page asks, and the doubt says how to convert them.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence

from core.data.formats.transcripts import is_transcript

_MIN_TEXTS = 3
# Texts of which every second one is a question, and the signs at the end of one.
_MIN_ALTERNATING = 6
_QUESTION_MARKS = ("?", "？", "؟")
# Characters of a text that are judged.
_SURVEYED_CHARACTERS = 20_000
# Share of the texts that must have the same number of cells.
_MIN_SHARE = 0.95
_FASTTEXT = re.compile(r"\s*__label__\S+")
_VECTOR = re.compile(r"\s*[+-]?\d+(?:\.\d+)?(?:\s+\d+:[+-]?[\d.]+(?:[eE][+-]?\d+)?)+\s*")
# A heading of Markdown that is a question, and the share of the texts that begin with one.
_ASKING_HEADING = re.compile(r"#{1,6} [^\n]*[?？؟][ \t*#]*(?:\n|\Z)")
_MIN_HEADINGS = 0.25
# The label in front of a question of TREC, a class and its part, without a space between them.
_LABELED = re.compile(r"([A-Za-z_]{2,20}:[A-Za-z_]{2,20})[ \t]+\S[^\n]*\n?\Z")
# The last column of tagged words: the tag of a name, or a part of speech of Penn or the Universal Dependencies.
_NAME_TAG = re.compile(r"O|[BIESLU]-\S+")
# Signs between two cells. A dash or an ellipsis is one of prose.
_BETWEEN = re.compile(r"\t| (?!-+ )[|+#$~^:=*<>@&/\\-]{2,} (?=\S)")
# Tokens between the turns of DailyDialog and of other conversations, one per line.
_TURN_TOKEN = re.compile(r"__[a-z]{2,6}__|<(?:eou|eot|eos|sep|turn|EOU|EOT|EOS|SEP|TURN)>|\[(?:SEP|EOS|EOT|EOU)\]|</s>")
# Quizzes of Moodle: GIFT has the choices in braces, Aiken names the right one in the last line.
_GIFT = re.compile(r"(?:::[^:]*::)?[^{}]{3,}\{\s*(?:[=~]|T(?:RUE)?\}|F(?:ALSE)?\}|#)", re.DOTALL)
_AIKEN = re.compile(r"(?:[A-Z][).] .*\n){2,}ANSWER: ?[A-Z]\s*", re.MULTILINE)
_TIME = r"\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d+)?(?:\s?[AaPp]\.?[Mm]\.?)?"
_DATE = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}"
# WhatsApp, Signal and IRC: a time, a speaker and the text in one line.
_CHAT_LINE = re.compile(
    rf"[\ufeff\u200e\u200f\s]*[\[(]?(?:{_DATE}[,T]?\s+)?{_TIME}[\])]?\s*[-–|]?\s*(?:<[^<>\n]{{1,40}}>|[^:<>\n]{{1,40}}:\s)"
)
# Transcripts of meetings: the speaker and the time above the text.
_SPOKEN = re.compile(rf"[^\n:]{{1,40}}\s{{1,3}}[\[(]?{_TIME}[\])]?[ \t]*\n\s*\S")


def layout_doubt(texts: Sequence[str]) -> str:
    """Return the doubt that texts are lines of another tool; "" if they are not.

    Args:
        texts: The texts of a column in the first rows.
    """
    if len(texts) < _MIN_TEXTS:
        return ""
    texts = [text[:_SURVEYED_CHARACTERS] for text in texts]
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
    tests += (
        (
            is_transcript,
            "the texts are transcripts, whose lines begin with their speaker; read them as text with turn marks, and "
            "name each role under Roles",
        ),
        (
            lambda text: _GIFT.match(text) is not None or _AIKEN.search(text) is not None,
            "the texts are questions with choices, as in a quiz of Moodle (GIFT or Aiken); write them as columns with "
            "the question, the choices and the right one",
        ),
        (
            lambda text: len(_TURN_TOKEN.findall(text)) > 1,
            f"{next((found[0] for text in texts if (found := _TURN_TOKEN.search(text))), '')!r} may divide the texts "
            "into turns; write each text as a list of turns in a column messages",
        ),
    )
    found = next((doubt for test, doubt in tests if 2 * sum(map(test, texts)) > len(texts)), "")
    return _beginning_doubt(texts) or found or _chat_doubt(texts) or _cells_doubt(texts)


def alternation_doubt(texts: Sequence[str]) -> str:
    """Return the doubt that every second text of a file is a question, which the one below it answers; "" if not."""
    pairs = list(itertools.pairwise(text.rstrip().endswith(_QUESTION_MARKS) for text in texts))
    turns = sum(first != second for first, second in pairs)
    if len(texts) < _MIN_ALTERNATING or turns < _MIN_SHARE * len(pairs):
        return ""
    return (
        "every second text is a question, which the one below it may answer; write each pair as one row with a column "
        "prompt and a column completion"
    )


def _beginning_doubt(texts: Sequence[str]) -> str:
    """Return the doubt that texts begin with a heading that is a question, or with a label; "" if not."""
    asking = sum(_ASKING_HEADING.match(text) is not None for text in texts)
    if asking >= _MIN_TEXTS and asking >= _MIN_HEADINGS * len(texts):
        return "the headings are questions, which the texts below them may answer; write both as columns"
    if _are_labeled(texts):
        return (
            f"{texts[0].split()[0]!r} may be a label that begins the text, as in the questions of TREC; write the "
            "label and the text as two columns"
        )
    return ""


def _are_labeled(texts: Sequence[str]) -> bool:
    """Return whether each text is a line that begins with one of a few labels such as LOC:other."""
    found = [_LABELED.match(text) for text in texts]
    labels = Counter(match[1] for match in found if match)
    return len(texts) <= sum(labels.values()) and 2 * len(labels) <= len(texts)


def _is_tagged(text: str) -> bool:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    widths = {len(line) for line in lines}
    return (
        len(lines) > 1 and len(widths) == 1 and min(widths) > 1 and all(_NAME_TAG.fullmatch(line[-1]) for line in lines)
    )


def _cells_doubt(texts: Sequence[str]) -> str:
    """Return the doubt that texts are cells between tabs, or between signs such as " ||| " and " => "."""
    lines = [line for text in texts if "\n" not in (line := text.strip())]
    counts = [Counter(_BETWEEN.findall(line)) for line in lines]
    for between in dict.fromkeys(mark for count in counts[:_MIN_TEXTS] for mark in count):
        [(count, same)] = Counter(found[between] for found in counts).most_common(1)
        if count and same >= _MIN_SHARE * len(texts):
            shown = "tabs" if between == "\t" else repr(between)
            return f"the texts have {count + 1} cells between {shown}, which may be a question and its answer"
    return ""


def _chat_doubt(texts: Sequence[str]) -> str:
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    heads = sum(_CHAT_LINE.match(line) is not None for line in lines)
    spoken = sum(_SPOKEN.match(text) is not None for text in texts)
    if 2 * heads <= len(lines) and 2 * spoken <= len(texts):
        return ""
    return (
        "the texts are messages of a chat or a transcript, with their time and speaker; put all messages of a "
        "conversation, in order, into one row as a list of objects with role and content"
    )
