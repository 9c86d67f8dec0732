"""Locate the contents of a conversation in its one full rendering.

The conversation is rendered a second time with every character of a content replaced by a mark, one private-use
character per message, and white space left as it is, so that a template strips, splits and merges as before. Both
renderings have equal lengths and agree outside the marks, which proves that the template treated them alike; then the
positions of the marks are the positions of the contents. A template that looks into a content (Qwen3 splits it at
`</think>`) makes the renderings differ; then the strings that the template's code contains keep their characters.
Nothing is searched for, so an answer that also occurs in other text, or equals the template's own, is no special case.

    messages   user "Hi"   assistant "Yo!"
    text       <|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\nYo!<|im_end|>\\n
    marked     <|im_start|>user\\n□□<|im_end|>\\n<|im_start|>assistant\\n■■■<|im_end|>\\n
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from core.data.formats import Message
from core.data.templates import TemplateError, string_literals

_WHITE, _LETTER = re.compile(r"\s"), re.compile(r"\S")
_PRIVATE = range(0xF0000, 0xFFFFE)  # Unicode's plane 15, which no text uses but by private agreement
Render = Callable[[list[Message], bool], str]


@dataclass(frozen=True)
class Region:
    """Where a content stands in the rendering.

    Attributes:
        message: its index.
        start, end: from the first marked character to behind the last.
        lead, trail: the characters of the content before and after these, which may stand there too.
    """

    message: int
    start: int
    end: int
    lead: str = ""
    trail: str = ""


@dataclass
class Located:
    """A rendering and its contents. Attributes: notes: what the template left out, in words."""

    text: str
    regions: list[Region]
    notes: list[str] = field(default_factory=list)


class Locator:
    """Locates the contents of one conversation.

    Attributes:
        located: the result.
    """

    def __init__(self, render: Render, template: str, name: str, messages: list[Message]):
        """
        Args:
            render: messages and whether to append a generation prompt, to text.
            template, name: the source and the name in words.

        Raises:
            TemplateError: the template refuses the conversation, or the place of a content is not certain.
        """
        self._render, self._messages, self._name = render, messages, name
        self._first = _free(messages)
        self._mark = re.compile(f"([{chr(self._first)}-{chr(self._first + len(messages) - 1)}])(?:\\s*\\1)*")
        text = render(messages, False)
        words = string_literals(template)
        signs = tuple(word for word in words if not word.isalnum())
        for kept in ((), signs, words):
            self._kept = re.compile("|".join([*map(re.escape, kept), r"\s"])) if kept else _WHITE
            located = self._attempt(text)
            if located is not None:
                self.located = located
                return
        raise TemplateError(f"{name} changes the text of turns, so that the answers cannot be located in it")

    def opening(self, index: int) -> tuple[int | None, str]:
        """Locate where the model takes over before the answer `index`.

        Returns:
            The position at which the answer's generation prompt ends, or None where the conversation holds something
            else there; and what the generation prompt has beyond what stands in the conversation.
        """
        regions = self.located.regions
        at = next(at for at, region in enumerate(regions) if region.message == index)
        before = regions[at - 1] if at else None
        try:
            asked = self._render(self._marked(self._messages[:index]), True)
        except TemplateError:
            return None, ""
        marks = list(self._mark.finditer(asked))
        last = ord(marks[-1].group(1)) - self._first if marks else None
        if last != (before.message if before else None):
            return None, ""
        opened = asked[marks[-1].end() if marks else 0 :]
        begin = before.end if before else 0
        gap = self.located.text[begin : regions[at].start]
        if gap.startswith(opened):
            return begin + len(opened), ""
        common = common_length(gap, opened)
        if common and regions[at].lead.endswith(gap[common:]):
            return begin + common, opened[common:]
        return None, ""

    def _marked(self, messages: list[Message]) -> list[Message]:
        return [
            {"role": message["role"], "content": self._cover(message["content"], at)}
            for at, message in enumerate(messages)
        ]

    def _cover(self, content: str, at: int) -> str:
        """Replace the characters of a content by its mark, but for white space and what the template looks for."""
        mark, made, done = chr(self._first + at), [], 0
        if self._kept is _WHITE:
            return _LETTER.sub(mark, content)
        for kept in self._kept.finditer(content):
            made += [mark * (kept.start() - done), kept.group()]
            done = kept.end()
        return "".join([*made, mark * (len(content) - done)])

    def _attempt(self, text: str) -> Located | None:
        """Locate with the present way of marking; None where the renderings differ."""
        try:
            marked = self._render(self._marked(self._messages), False)
        except TemplateError:
            return None
        if len(marked) != len(text):
            return None
        runs: list[list[tuple[int, int]]] = []
        owners: list[int] = []
        done = 0
        for run in self._mark.finditer(marked):
            under = _LETTER.sub(run.group(1), text[run.start() : run.end()])
            if marked[done : run.start()] != text[done : run.start()] or run.group() != under:
                return None
            done = run.end()
            owner = ord(run.group(1)) - self._first
            if not owners or owners[-1] != owner:
                owners.append(owner)
                runs.append([])
            runs[-1].append(run.span())
        if marked[done:] != text[done:]:
            return None
        return self._described(text, owners, runs)

    def _described(self, text: str, owners: list[int], runs: list[list[tuple[int, int]]]) -> Located | None:
        located = Located(text, [])
        for owner, spans in zip(owners, runs, strict=True):
            answer = self._messages[owner]["role"] == "assistant"
            if answer and owners.count(owner) > 1:
                raise TemplateError(f"{self._name} writes an answer more than once")
            content, mark = self._messages[owner]["content"], chr(self._first + owner)
            whole = "".join(self._kept.split(content))
            shown = "".join([part for start, end in spans for part in text[start:end].split()])
            at = whole.rfind(shown)
            if at < 0:
                return None
            if len(shown) < len(whole):
                located.notes.append(f"the chat template leaves out a part of {_a(self._messages[owner])}")
            covered = self._cover(content, owner)
            if len(shown) == len(whole):
                first, last = covered.find(mark), covered.rfind(mark)
            else:
                places = [place for place, letter in enumerate(covered) if letter == mark]
                first, last = places[at], places[at + len(shown) - 1]
            lead, trail = content[:first], content[last + 1 :]
            located.regions.append(Region(owner, spans[0][0], spans[-1][1], lead, trail))
        for at, message in enumerate(self._messages):
            if at not in owners and message["content"].strip():
                if self._kept.sub("", message["content"]):
                    located.notes.append(f"the chat template leaves out {_a(message)}")
                elif message["role"] == "assistant":
                    return None
        return located


def _a(message: Message) -> str:
    return {"assistant": "an answer", "user": "a user turn"}.get(message["role"], f"a {message['role']} turn")


def _free(messages: list[Message]) -> int:
    """Return the first of as many private-use characters as there are messages, of which no content holds one."""
    texts = [text for message in messages if max(text := message["content"], default="") >= chr(_PRIVATE.start)]
    used = {ord(letter) for text in texts for letter in text if ord(letter) in _PRIVATE}
    for first in _PRIVATE[:: max(len(messages), 1)]:
        last = first + len(messages)
        if last <= _PRIVATE.stop and not any(first <= letter < last for letter in used):
            return first
    raise TemplateError("the conversation has too many turns or private-use characters to locate its answers")


def common_length(one: str, other: str) -> int:
    """Return the length of the longest common beginning."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
