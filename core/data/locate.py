r"""Location of the contents of a conversation in its rendering by a chat template.

The conversation is rendered a second time with every character of a content replaced by a mark, one private-use
character per message. White space stays, so the template strips, splits and merges as before. If both renderings have
the same length and agree outside the marks, the template has treated them alike, and the positions of the marks are
the positions of the contents. A template that looks into a content (Qwen3 splits it at `</think>`) makes the renderings
differ; then the strings in the code of the template keep their characters in a further attempt. Nothing is searched
for, so an answer that also occurs in other text, or equals text of the template, is not a special case.

    messages   user "Hi"   assistant "Yo!"
    text       <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo!<|im_end|>\n
    marked     <|im_start|>user\n□□<|im_end|>\n<|im_start|>assistant\n■■■<|im_end|>\n
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from core.data.formats import Message
from core.data.templates import TemplateError, string_literals

_WHITE, _LETTER = re.compile(r"\s"), re.compile(r"\S")
# Plane 15 of Unicode, reserved for private use: no template and hardly any text contains these characters.
_PRIVATE = range(0xF0000, 0xFFFFE)
Render = Callable[[list[Message], bool], str]


@dataclass(frozen=True)
class Region:
    """Position of a content in the rendering.

    Attributes:
        message: Index of the message.
        start: Position of the first marked character.
        end: Position after the last marked character.
        lead: Characters of the content before `start` (white space), which the template may have kept.
        trail: Characters of the content after `end`, likewise.
    """

    message: int
    start: int
    end: int
    lead: str = ""
    trail: str = ""


@dataclass
class Located:
    """A rendering with the positions of its contents.

    Attributes:
        text: The rendering.
        regions: Positions of the contents, in the order of the text.
        notes: Sentences about contents that the template left out.
    """

    text: str
    regions: list[Region]
    notes: list[str] = field(default_factory=list)


class Locator:
    """Search for the contents of one conversation in its rendering.

    Attributes:
        located: The result.
    """

    def __init__(self, render: Render, template: str, name: str, messages: list[Message]):
        """Render the conversation and locate its contents.

        Args:
            render: Function from messages, and whether to append a generation prompt, to text.
            template: Source of the template.
            name: Name of the template in error messages.
            messages: The conversation.

        Raises:
            TemplateError: The template refuses the conversation, or the position of a content is not certain.
        """
        self._render, self._messages, self._name = render, messages, name
        # Message i is marked by the character _first_mark + i. A match of `_mark` is a run: equal marks with white
        # space between them. A content is one run, or several where strings that the template uses are kept in it.
        self._first_mark = _find_free_marks(messages)
        last_mark = self._first_mark + len(messages) - 1
        self._mark = re.compile(f"([{chr(self._first_mark)}-{chr(last_mark)}])(?:\\s*\\1)*")
        text = render(messages, False)
        words = string_literals(template)
        signs = tuple(word for word in words if not word.isalnum())
        # Keep as little as possible: kept characters are not located. Most templates need nothing, some need their
        # special marks, a few look for ordinary words.
        for kept in ((), signs, words):
            self._kept = re.compile("|".join([*map(re.escape, kept), r"\s"])) if kept else _WHITE
            located = self._attempt(text)
            if located is not None:
                self.located = located
                return
        raise TemplateError(f"{name} changes the text of turns, so that the answers cannot be located in it")

    def generation_prompt_end(self, index: int) -> tuple[int | None, str]:
        """Locate the end of the generation prompt before the answer `index`.

        The messages before the answer are rendered with a generation prompt. The text after the last content of this
        rendering is compared with the text between the same content and the answer in the whole rendering.

        Returns:
            The position of the end, or None if the conversation has something else there; and the part of the
            generation prompt that the conversation lacks.
        """
        regions = self.located.regions
        at = next(at for at, region in enumerate(regions) if region.message == index)
        before = regions[at - 1] if at else None
        try:
            prompt = self._render(self._mark_messages(self._messages[:index]), True)
        except TemplateError:
            return None, ""
        marks = list(self._mark.finditer(prompt))
        last = ord(marks[-1].group(1)) - self._first_mark if marks else None
        # The template may reorder messages or drop them without an answer; then the two texts are not comparable.
        if last != (before.message if before else None):
            return None, ""
        opening = prompt[marks[-1].end() if marks else 0 :]
        begin = before.end if before else 0
        gap = self.located.text[begin : regions[at].start]
        if gap.startswith(opening):
            return begin + len(opening), ""
        # The generation prompt goes further than the conversation, for example by an opening <think> tag.
        common = common_length(gap, opening)
        if common and regions[at].lead.endswith(gap[common:]):
            return begin + common, opening[common:]
        return None, ""

    def _mark_messages(self, messages: list[Message]) -> list[Message]:
        return [
            {"role": message["role"], "content": self._cover(message["content"], at)}
            for at, message in enumerate(messages)
        ]

    def _cover(self, content: str, at: int) -> str:
        """Replace the characters of a content by its mark, except white space and strings that the template uses."""
        mark, parts, end = chr(self._first_mark + at), [], 0
        if self._kept is _WHITE:
            return _LETTER.sub(mark, content)
        for kept in self._kept.finditer(content):
            parts += [mark * (kept.start() - end), kept.group()]
            end = kept.end()
        return "".join([*parts, mark * (len(content) - end)])

    def _attempt(self, text: str) -> Located | None:
        """Locate the contents with the current way of marking; None if the renderings differ."""
        try:
            marked = self._render(self._mark_messages(self._messages), False)
        except TemplateError:
            return None
        if len(marked) != len(text):
            return None
        runs: list[list[tuple[int, int]]] = []
        owners: list[int] = []
        end = 0
        for run in self._mark.finditer(marked):
            expected = _LETTER.sub(run.group(1), text[run.start() : run.end()])
            # Outside the marks the texts must be equal; inside, white space must be at the same positions.
            if marked[end : run.start()] != text[end : run.start()] or run.group() != expected:
                return None
            end = run.end()
            owner = ord(run.group(1)) - self._first_mark
            # Kept strings split a content into several runs, which belong together.
            if not owners or owners[-1] != owner:
                owners.append(owner)
                runs.append([])
            runs[-1].append(run.span())
        if marked[end:] != text[end:]:
            return None
        return self._make_located(text, owners, runs)

    def _make_located(self, text: str, owners: list[int], runs: list[list[tuple[int, int]]]) -> Located | None:
        """Return the result of an attempt, or None if a content is not a contiguous part of the rendering.

        Args:
            text: The rendering.
            owners: Index of the message of each located content.
            runs: (start, end) of the marked runs of each located content.
        """
        located = Located(text, [])
        for owner, spans in zip(owners, runs, strict=True):
            is_answer = self._messages[owner]["role"] == "assistant"
            if is_answer and owners.count(owner) > 1:
                raise TemplateError(f"{self._name} writes an answer more than once")
            content, mark = self._messages[owner]["content"], chr(self._first_mark + owner)
            # Both without white space and kept strings, so that stripping makes no difference.
            whole = "".join(self._kept.split(content))
            shown = "".join([part for start, end in spans for part in text[start:end].split()])
            at = whole.rfind(shown)
            if at < 0:
                return None
            if len(shown) < len(whole):
                located.notes.append(f"the chat template leaves out a part of {_name_turn(self._messages[owner])}")
            covered = self._cover(content, owner)
            if len(shown) == len(whole):
                first, last = covered.find(mark), covered.rfind(mark)
            else:
                positions = [position for position, letter in enumerate(covered) if letter == mark]
                first, last = positions[at], positions[at + len(shown) - 1]
            lead, trail = content[:first], content[last + 1 :]
            located.regions.append(Region(owner, spans[0][0], spans[-1][1], lead, trail))
        for at, message in enumerate(self._messages):
            if at not in owners and message["content"].strip():
                if self._kept.sub("", message["content"]):
                    located.notes.append(f"the chat template leaves out {_name_turn(message)}")
                elif message["role"] == "assistant":
                    # The answer consists of kept strings only, so it has no marks to be located by.
                    return None
        return located


def _name_turn(message: Message) -> str:
    return {"assistant": "an answer", "user": "a user turn"}.get(message["role"], f"a {message['role']} turn")


def _find_free_marks(messages: list[Message]) -> int:
    """Return the first of consecutive private-use characters, one per message, that occur in no content."""
    texts = [text for message in messages if max(text := message["content"], default="") >= chr(_PRIVATE.start)]
    used = {ord(letter) for text in texts for letter in text if ord(letter) in _PRIVATE}
    for first in _PRIVATE[:: max(len(messages), 1)]:
        last = first + len(messages)
        if last <= _PRIVATE.stop and not any(first <= letter < last for letter in used):
            return first
    raise TemplateError("the conversation has too many turns or private-use characters to locate its answers")


def common_length(one: str, other: str) -> int:
    """Return the length of the longest common prefix."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
