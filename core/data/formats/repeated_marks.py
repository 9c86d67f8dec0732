"""Marks of a template that most turns of a dataset share: at their ends, or at the beginning of a line.

One row does not show whether "</s>" at the end of an answer is the mark of a template or a part of the text. So the
first rows are surveyed: a special token that begins or ends most answers, or most questions, is left out, and every
other repeated mark is named in the notes of its rows and trained as text. `RepeatedMarks.apply` does both for each row.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from core.data.formats.conversation import Message
from core.data.formats.stamps import are_stamped, has_more_stamps, without_stamp
from core.data.formats.values import Note

# A mark is repeated if at least this many turns of the surveyed rows, and more than half of them, have it.
_MIN_TURNS = 3
# Longest text at either end of a turn in which a mark is looked for.
_END_CHARACTERS = 80
# Characters of a turn in which labels and tags are looked for.
_SURVEYED_CHARACTERS = 20_000
# A text with more kinds of tags, or with one of HTML, is written in HTML or XML.
_MAX_TAGS = 4

# Special tokens that say that a turn, an answer or a text ends. Those in angle brackets alone could be a tag.
_END = (
    r"</s>|<(?:eos|eot|eod|end_of_turn|end_of_text|end_of_utterance)>|\[(?:EOS|EOT|EOD)\]|"
    r"<(?:\||｜)[^|｜<>\s]{0,30}?(?:end|END|eo[stdm]|EO[STDM]|return)[^|｜<>\s]{0,30}(?:\||｜)>"
)
# Special tokens at the beginning of a turn, or around it.
_BEGIN = (
    r"<s>|<(?:bos|pad|sep|cls|start_of_turn)>|\[(?:BOS|PAD|SEP|CLS|END|STOP)\]|"
    r"<(?:\||｜)[^|｜<>\s]{0,30}?(?:begin|BEGIN|start|START|bo[st]|BO[ST]|pad|PAD|sep|SEP|stop|STOP|user|User|"
    r"assistant|Assistant|human|bot)[^|｜<>\s]{0,30}(?:\||｜)>"
)
# Dolly's last line, and the separator of OpenAI's first fine-tuning: headings without a text.
_HEADING = r"### End|###"
# Marks that may be words of the text: they are named, not left out.
_OTHER = (
    r"<(?:\||｜)[^|｜<>\s]{1,40}(?:\||｜)>|\[/?[A-Z][A-Z_]{1,19}\]|</?[A-Za-z_][\w-]{0,30}>|"
    r"(?<=\S[ \t])(?:END|STOP)|(?<=\s)[-=]>"
)
_ENDS = re.compile(rf"(?:{_END})\Z")
_CERTAIN = re.compile(rf"(?:{_END}|{_BEGIN}|{_HEADING})")
_AT_END = re.compile(rf"(?:{_END}|{_BEGIN}|(?<=\n)(?:{_HEADING})|{_OTHER})\Z")
_AT_BEGIN = re.compile(rf"(?:{_END}|{_BEGIN}|{_OTHER})")
# Labels of speakers and of the results of tools at the beginning of a line.
_LABEL = re.compile(
    r"^[ \t]*((?:#{1,4} |\*\*)?(?:"
    r"User|Human|Assistant|System|GPT|ChatGPT|AI|Bot|Chatbot|USER|HUMAN|ASSISTANT|SYSTEM|BOT|"
    r"(?:Tool|Function|API|TOOL|FUNCTION)[ _](?:[Rr]esponse|[Rr]esult|[Oo]utput|RESPONSE|RESULT|OUTPUT)s?|"
    r"Tool|Function|Observation|TOOL|FUNCTION|OBSERVATION)(?:\*\*:|:(?:\*\*)?)|"
    r"#{2,4} (?:Instruction|Input|Response|Question|Answer|Output|End):?(?=\s|\Z))",
    re.MULTILINE,
)
_TOKEN = re.compile(r"<\|[^|<>\s]{1,40}\|>|<｜[^｜<>\s]{1,40}｜>")
_BRACKETS = re.compile(r"\[(?:EOS|EOT|EOD|BOS|PAD|SEP|CLS)\]")
_TAG = re.compile(r"</?([A-Za-z_][\w-]{0,30})>")
# Tags of HTML, and those of reasoning and of tool calls, which models are trained to write.
_HTML_TAG = re.compile(
    r"a|abbr|article|aside|b|blockquote|body|br|button|canvas|center|cite|code|col|dd|del|details|div|dl|dt|em|figure|"
    r"font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|link|main|mark|math|meta|"
    r"nav|ol|option|p|picture|pre|q|s|samp|script|section|select|small|source|span|strike|strong|style|sub|summary|sup|"
    r"svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|tr|tt|u|ul|var|video",
    re.IGNORECASE,
)
_MODEL_TAG = re.compile(r"think|thinking|tool_calls?|tool_response|function_?call|answer", re.IGNORECASE)
# Last characters of a sentence, a quotation or a code block.
_SENTENCE_ENDS = tuple(".!?…。！？\"'»”’)]}`*")
_Position = Literal["begins", "ends", "begins a line of", "is in"]


@dataclass(frozen=True)
class _Marks:
    """Marks of one kind of turns.

    Attributes:
        begins: Marks left out at the beginning.
        ends: Marks left out at the end.
        named: Positions and marks that are named in the notes.
        has_stamps: Whether most turns begin with a date and an author, which are left out.
    """

    begins: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    named: tuple[tuple[_Position, str], ...] = ()
    has_stamps: bool = False

    def apply(self, text: str, name: str, note: Note) -> str:
        """Return a turn without its marks; one that consists of marks alone is unchanged."""
        cut = self._without_stamp(text, name, note) if self.has_stamps else text
        if self.begins and (found := _prefix(cut, self.begins)):
            note(f"the mark {found!r} at the beginning of {name} is left out")
            while mark := _prefix(cut, self.begins):
                cut = cut.lstrip()[len(mark) :].lstrip()
        if self.ends and (found := _suffix(cut, self.ends)):
            note(f"the mark {found!r} at the end of {name} is left out")
            cut = _without_suffix(cut, lambda rest: _suffix(rest, self.ends))
        text = cut if cut.strip() else text
        for position, mark in self.named:
            if mark in text and mark in _found_at(position, text):
                note(f"{mark!r} {position} {name}, as in most rows; it is trained as text")
        return text

    def _without_stamp(self, text: str, name: str, note: Note) -> str:
        if has_more_stamps(text):
            note(f"{name} holds several comments, each with its date and author; these are trained as text")
        elif (cut := without_stamp(text)) != text:
            note(f"the date and the author at the beginning of {name} are left out")
            return cut
        return text


@dataclass(frozen=True)
class RepeatedMarks:
    """Marks that most turns of a dataset share.

    Attributes:
        end: Treatment of a special token that ends an answer. "cut" leaves it out. "weigh" leaves it out only after a
            finished sentence, for datasets in which few answers end so. "keep" keeps it.
        answers: Marks of the answers.
        questions: Marks of the questions.
        texts: Marks of rows of plain text.
    """

    end: Literal["cut", "weigh", "keep"] = "cut"
    answers: _Marks = _Marks()
    questions: _Marks = _Marks()
    texts: _Marks = _Marks()

    def apply(self, messages: list[Message], note: Note) -> list[Message]:
        """Return a conversation without the marks of a template, with a note about each mark."""
        found: list[Message] = []
        question = ""
        for message in messages:
            text = message["content"]
            if message["role"] == "assistant":
                text = self._without_end(self.answers.apply(text, "an answer", note), question, note)
            elif message["role"] == "user":
                text = question = self.questions.apply(text, "a question", note)
            elif message["role"] == "text":
                text = self.texts.apply(text, "a text", note)
            found.append(message if text is message["content"] else {**message, "content": text})
        return found

    def _without_end(self, answer: str, question: str, note: Note) -> str:
        mark = find_end_mark(answer)
        if not mark or self.end == "keep":
            return answer
        text = _without_suffix(answer, find_end_mark)
        # <s>…</s> is text that is struck through in HTML.
        if not text or (mark == "</s>" and "<s>" in text):
            return answer
        if self.end == "weigh" and not (text.endswith(_SENTENCE_ENDS) and not _CERTAIN.search(question + text)):
            note(f"an answer ends with {mark!r}, and most answers do not; it is trained as text")
            return answer
        note(f"the mark {mark!r} at the end of an answer is left out")
        return text


# For the survey, and to see whether a written row is read as it was.
KEEP_MARKS = RepeatedMarks(end="keep")


def cut_end_marks(text: str) -> str:
    """Return a text without white space around it and without the marks of an end."""
    return _without_suffix(text.strip(), find_end_mark)


def find_repeated_marks(conversations: Iterable[list[Message]]) -> RepeatedMarks:
    """Return the marks that most turns of the first conversations of a dataset share, read with `KEEP_MARKS`."""
    turns: dict[str, list[str]] = {"assistant": [], "user": [], "text": []}
    for messages in conversations:
        for message in messages:
            if message["role"] in turns and message["content"].strip():
                turns[message["role"]].append(message["content"])
    marks = RepeatedMarks(
        answers=_survey(turns["assistant"], ("begins a line of", "is in")),
        questions=_survey(turns["user"], ("is in",)),
        # Labels and tags are words of a text. A token that ends one separates the documents packed into a row.
        texts=_survey(turns["text"], ("is in",), certain_only=True),
    )
    if len(turns["assistant"]) < _MIN_TURNS:
        return marks
    ended = sum(1 for text in turns["assistant"] if find_end_mark(text))
    return replace(marks, end="cut" if 2 * ended > len(turns["assistant"]) else "weigh")


def _survey(texts: Sequence[str], inside: tuple[_Position, ...], certain_only: bool = False) -> _Marks:
    """Return the repeated marks of one kind of turns.

    Args:
        texts: The turns.
        inside: Positions within the turns that are searched beside their two ends.
        certain_only: Whether only special tokens that begin or end texts count inside the turns.
    """
    begins, ends = _repeated(texts, "begins"), _repeated(texts, "ends")
    left_out = (tuple(mark for mark in found if _CERTAIN.fullmatch(mark)) for found in (begins, ends))
    marks = _Marks(*left_out, has_stamps=are_stamped(texts))
    named: list[tuple[_Position, str]] = [("begins", mark) for mark in begins if mark not in marks.begins]
    named += [("ends", mark) for mark in ends if mark not in marks.ends]
    rest = [marks.apply(text, "", lambda sentence: None) for text in texts]
    for position in inside:
        known = {mark for _, mark in named}
        fresh = [mark for mark in _repeated(rest, position) if mark not in known]
        named += [(position, mark) for mark in fresh if not certain_only or _CERTAIN.fullmatch(mark)]
    return replace(marks, named=tuple(named))


def _repeated(texts: Sequence[str], position: _Position) -> list[str]:
    """Return the marks that more than half of the texts have at a position, the most frequent first."""
    counts = Counter(mark for text in texts for mark in _found_at(position, text))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [mark for mark, count in ordered if count >= _MIN_TURNS and 2 * count > len(texts)]


def _found_at(position: _Position, text: str) -> set[str]:
    """Return the marks of a text at a position. The whole text is no mark, and HTML and XML have tags of their own."""
    head = text[:_SURVEYED_CHARACTERS]
    if position == "begins a line of":
        return set(_LABEL.findall(head))
    if position == "is in":
        tags = (
            set() if _is_markup(head) else {tag[0] for tag in _TAG.finditer(head) if not _MODEL_TAG.fullmatch(tag[1])}
        )
        return {*_TOKEN.findall(head), *_BRACKETS.findall(head), *tags}
    text = text.strip()
    found = _AT_BEGIN.match(text) if position == "begins" else _AT_END.search(text, max(0, len(text) - _END_CHARACTERS))
    if not found or found[0] == text:
        return set()
    tag = _TAG.fullmatch(found[0])
    if tag and not _CERTAIN.fullmatch(found[0]) and (_MODEL_TAG.fullmatch(tag[1]) or _is_markup(head)):
        return set()
    return {found[0]}


def _is_markup(text: str) -> bool:
    """Return whether a text is written in HTML or XML, so that its tags are no marks of a template."""
    tags = set(_TAG.findall(text))
    return len(tags) > _MAX_TAGS or any(_HTML_TAG.fullmatch(tag) for tag in tags if tag != "s")


def find_end_mark(text: str) -> str:
    """Return the special token that ends a text, such as "</s>"; "" for none."""
    text = text.rstrip()
    # Nearly all answers end with another character.
    if not text.endswith((">", "]")):
        return ""
    found = _ENDS.search(text, max(0, len(text) - _END_CHARACTERS))
    return found[0] if found else ""


def _prefix(text: str, marks: tuple[str, ...]) -> str:
    text = text.lstrip()
    return next((mark for mark in marks if text.startswith(mark)), "")


def _suffix(text: str, marks: tuple[str, ...]) -> str:
    text = text.rstrip()
    return next((mark for mark in marks if text.endswith(mark)), "")


def _without_suffix(text: str, suffix_of: Callable[[str], str]) -> str:
    while mark := suffix_of(text):
        text = text.rstrip().removesuffix(mark).rstrip()
    return text
