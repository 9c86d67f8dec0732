"""Transcripts in one text: lines that begin with a speaker such as "Agent:", often with the time beside it.

Call centres, interviews and diarization write so: "[00:00:07] Customer: My line is down.". Such a reading is offered
with the roles of its speakers, and always with doubt, since only the reader of the file knows who is trained to answer.
"""

import re
from collections.abc import Callable, Iterable

from core.data.formats.conversation import Message, Role, UnusableRow, usual_role
from core.data.formats.marks import style_of
from core.data.formats.sides import ANSWERING, ASKING
from core.data.formats.values import Note

# Words that are headings of other texts as well, such as "Contact: info@example.org".
_HEADINGS = frozenset(
    ("contact", "lead", "member", "service", "team", "staff", "incoming", "outgoing", "rep", "consumer")
)
_MORE_ASKING = frozenset(("interviewer", "learner", "host", "user", "human", "q", "question"))
_MORE_ANSWERING = frozenset(
    ("interviewee", "candidate", "nurse", "counsel", "assistant", "bot", "chatbot", "ai", "a", "answer")
)
_ASKING = (ASKING | _MORE_ASKING) - _HEADINGS
_ANSWERING = (ANSWERING | _MORE_ANSWERING) - _HEADINGS
# Diarization numbers its speakers.
_NUMBERED = r"(?:speaker|person|participant|spk)[ _]?\d{1,2}"
_WORDS = "|".join(map(re.escape, sorted(_ASKING | _ANSWERING, key=lambda word: (-len(word), word))))
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d{1,6})?(?: ?[AaPp]\.?[Mm]\b\.?)?"
_WHEN = rf"[\[(]?(?:\d{{1,4}}[./-]\d{{1,2}}[./-]\d{{1,4}}[T ,]{{1,2}})?{_CLOCK}(?: ?(?:-->|[-–]|to) ?{_CLOCK})?[\])]?"
# The end of a mark is a colon, or a time at the end of the line.
_MARK = re.compile(
    rf"^[ \t]{{0,8}}({_WHEN}[ \t]?[-–|:]?[ \t]?)?[*\[<]{{0,2}}((?:{_WORDS})(?:[ _#]?\d{{1,2}})?|{_NUMBERED})"
    rf"(?: \([^()\n:]{{1,30}}\))?[*\]>]{{0,2}}(?::|( {{1,3}}{_WHEN}) ?(?::|[ \t]*$))\*{{0,2}}[ \t]*",
    re.MULTILINE | re.IGNORECASE,
)


def _split(text: str) -> tuple[str, list[tuple[str, str]], bool]:
    """Return the text before the first speaker, the speaker and the text of each turn, and whether times are left out.

    Speakers are in lower case; a number behind the word for a side, as in "Agent 2", stays.
    """
    marks = list(_MARK.finditer(text))
    if not marks:
        return text, [], False
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    turns = [(mark[2].lower(), text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)]
    return text[: marks[0].start()], turns, any(mark[1] or mark[3] for mark in marks)


def _side_of(name: str) -> Role | None:
    word = re.sub(r"[ _#]?\d{1,2}\Z", "", name)
    return "user" if word in _ASKING else "assistant" if word in _ANSWERING else None


def likely_roles(texts: Iterable[str]) -> dict[str, Role]:
    """Return the likely role of each speaker of some transcripts; of numbered ones, the first asks."""
    speakers = dict.fromkeys(speaker for text in texts for speaker, _ in _split(text)[1])
    return {speaker: _side_of(speaker) or ("assistant" if index else "user") for index, speaker in enumerate(speakers)}


def is_transcript(text: str) -> bool:
    """Return whether a text holds turns of both sides, or of two numbered speakers, in no style of marks."""
    speakers = {name for name, _ in _split(text)[1]}
    sides = {_side_of(name) for name in speakers}
    return ({"user", "assistant"} <= sides or (sides == {None} and len(speakers) > 1)) and style_of(text) is None


def parse_transcript(text: str, note: Note, role_of: Callable[[str], Role | None] = usual_role) -> list[Message]:
    """Return the turns of a transcript, with those that follow each other on one side as one.

    Args:
        text: The transcript, for which `is_transcript` is true.
        note: Callback for one sentence about everything that is left out or joined.
        role_of: Returns the role of a speaker, or None for an unknown one.

    Raises:
        UnusableRow: A speaker has no role.
    """
    before, turns, has_times = _split(text)
    if has_times:
        note("the times beside the speakers are left out")
    if before.strip():
        note("the text before the first speaker is left out")
    messages: list[Message] = []
    for name, content in turns:
        if (role := role_of(name)) is None:
            raise UnusableRow(f"unknown role {name[:40]!r}; name it under Roles")
        if role == "assistant" and not messages:
            note("what is answered before the first question, such as a greeting, is left out")
        elif messages and messages[-1]["role"] == role:
            messages[-1] = {**messages[-1], "content": f"{messages[-1]['content']}\n{content}".strip()}
        else:
            messages.append({"role": role, "content": content})
    return messages
