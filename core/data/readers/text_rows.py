"""Reader of plain text: one row per paragraph if there are empty lines, otherwise one per line.

A table of cells between tabs below a header, which Excel saves as "Unicode Text", is read like a .tsv file, and so is
an export of Anki. The questions of a quiz of Moodle are rows.
"""

import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator

from core.data.readers import intents, separated, sums
from core.data.readers.lines import ROW_LIMIT, TOO_LONG, LineSource, SourceRow, head_lines
from core.data.readers.quizzes import read_quiz, style_of_quiz
from core.data.readers.remarks import count_remarks_above, read_remarks
from core.system.counting import counted

# Size of the samples in which a table and empty lines are searched for.
_TABLE_CHARACTERS = 2**18
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 2000, 2**20
# Tokens at the end of a turn ("end of utterance", "end of turn"), and the fewest lines that must have them.
_TURN_TOKEN = re.compile(r"__eo[ut]__|<(?:eou|eot|EOU|EOT)>|\[EO[UT]\]|<\|?(?:end_of_utterance)\|?>")
_MIN_LINES = 3


def read(source: LineSource) -> Iterator[SourceRow]:
    """Yield the paragraphs or lines of a file, or the rows of a table."""
    sample = _whole_lines(source.head(_TABLE_CHARACTERS))
    if read_remarks(sample).names:
        yield from sums.read(source)
        return
    cells, has_header = separated.count_tab_cells(sample[count_remarks_above(sample) :])
    if cells > 1 and has_header:
        source.note(f"{source.name!r} is a table of {cells} cells per line between tabs; it is read like a .tsv file")
        yield from sums.read(source, is_tsv=True)
        return
    if cells > 1:
        source.note(f"{source.name!r} has {cells} cells per line between tabs; rename it to .tsv to read it as a table")
    lines = source.lines()
    if intents.is_markdown(sample):
        yield from _examples(source, lines)
        return
    if quiz := style_of_quiz(sample):
        yield from read_quiz(source, lines, *quiz)
        return
    head = head_lines(lines, _SAMPLE_LINES, _SAMPLE_CHARACTERS)
    texts = [line.strip() for _, line in head if line is not None]
    if token := _turn_token(texts):
        source.note(f"each line of {source.name!r} is a conversation whose turns end with {token!r}")
        yield from _conversations(source, itertools.chain(head, lines), token)
        return
    are_paragraphs = any(not above and below for above, below in itertools.pairwise(texts))
    yield from _texts(source, itertools.chain(head, lines), are_paragraphs)


def _texts(source: LineSource, lines: Iterable[tuple[int, str | None]], paragraphs: bool) -> Iterator[SourceRow]:
    """Yield the paragraphs or the lines of a text."""
    block: list[str] = []
    first = size = count = 0
    for number, line in lines:
        if line is None:
            yield SourceRow(number, None, "", TOO_LONG)
            continue
        if line.strip():
            first = first or number
            size += len(line)
            block.append(line)
        if block and (not paragraphs or not line.strip() or size > ROW_LIMIT):
            yield _row(source, first, block)
            count += 1
            block, first, size = [], 0, 0
    if block:
        yield _row(source, first, block)
        count += 1
    if paragraphs and count > 1:
        source.note(
            f"{source.name!r} is read as one row per paragraph ({counted(count, 'row')}); text "
            "without marks of turns is for continued pre-training, and each row is trained on its own"
        )


def _examples(source: LineSource, lines: Iterator[tuple[int, str | None]]) -> Iterator[SourceRow]:
    """Yield the examples of intents in the Markdown of Rasa."""
    source.note(f"{source.name!r} holds intents with examples, as Rasa writes them; each example is a row")
    for number, row in intents.rows_of_markdown(((number, line or "") for number, line in lines), source.note):
        raw = json.dumps(row, ensure_ascii=False)
        trouble = source.broken(raw)
        yield SourceRow(number, None if trouble else row, raw, trouble or "")


def _turn_token(texts: list[str]) -> str:
    """Return the token that divides each of the lines into turns, as in DailyDialog; "" if there is none."""
    filled = [text for text in texts if text]
    token = next((found[0] for text in filled if (found := _TURN_TOKEN.search(text))), "")
    is_everywhere = (
        len(filled) >= _MIN_LINES and all(len(_turns(text, token)) > 1 for text in filled) if token else False
    )
    return token if is_everywhere else ""


def _turns(text: str, token: str) -> list[str]:
    return [turn for part in text.split(token) if (turn := part.strip())]


def _conversations(source: LineSource, lines: Iterable[tuple[int, str | None]], token: str) -> Iterator[SourceRow]:
    for number, line in lines:
        if line is None or (trouble := source.broken(line)):
            yield SourceRow(number, None, line or "", TOO_LONG if line is None else trouble)
        elif line.strip():
            row = {"messages": _turns(line, token)}
            yield SourceRow(number, row, json.dumps(row, ensure_ascii=False))


def _whole_lines(head: str) -> list[str]:
    """Return the lines at the start of a file, without the last one if it is cut."""
    lines = io.StringIO(head, newline="").readlines()
    return lines[:-1] if len(head) == _TABLE_CHARACTERS else lines


def _row(source: LineSource, line: int, block: list[str]) -> SourceRow:
    text = "".join(block).rstrip("\r\n").replace("\r\n", "\n").lstrip("\ufeff")
    if trouble := source.broken(text):
        return SourceRow(line, None, text, trouble)
    return SourceRow(line, {"text": text}, json.dumps({"text": text}, ensure_ascii=False))
