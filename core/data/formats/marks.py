"""Parsing of conversations written as one text with marks between the turns.

Guanaco and Llama 2 have parsers of their own; ChatML, Llama 3, Gemma, Zephyr, Alpaca, Human/Assistant and Vicuna are
described by the regular expressions of `MARK_STYLES`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from core.data.formats.conversation import Message, Role, UnusableRow, usual_role
from core.data.formats.values import Note

_LLAMA2_TURN = re.compile(r"(?:<s>)?\[INST\](.*?)\[/INST\](.*?)(?=(?:<s>)?\[INST\]|\Z)", re.DOTALL)
_LLAMA2_SYSTEM = re.compile(r"\A <<SYS>>\n(.*?)\n<</SYS>>\n\n|\A\s*<<SYS>>\n?(.*?)\n?<</SYS>>\s*", re.DOTALL)

_MISTRAL_SYSTEM = re.compile(r"\[SYSTEM_PROMPT\](.*?)\[/SYSTEM_PROMPT\]", re.DOTALL)

_MISTRAL_RESULTS = re.compile(r"\[TOOL_RESULTS\](.*?)\[/TOOL_RESULTS\]", re.DOTALL)


def split_llama2_system(question: str) -> tuple[str | None, str]:
    """Return the system prompt in the <<SYS>> marks at the start of a first question, or None, and the question."""
    if not (system := _LLAMA2_SYSTEM.match(question)):
        return None, question
    return system[1] if system[1] is not None else system[2], question[system.end() :]


def _llama2_turns(text: str) -> list[re.Match]:
    """Return the turns that end with '[/INST]' and an answer.

    No turn begins after the last '[/INST]', so the search stops there: to look for an end from each of many marks
    without one would take time quadratic in the text's length.
    """
    last_end, turns = text.rfind("[/INST]"), []
    if text.find("[INST]") < last_end:
        for turn in _LLAMA2_TURN.finditer(text):
            turns.append(turn)
            if turn.end() > last_end:
                break
    return turns


def _llama2_answers(text: str) -> list[Message]:
    """Return the answer after '[/INST]', with the results of tools in Mistral's marks as turns of their own."""
    # Only up to the last end: to look for an end from each of many marks without one would take quadratic time.
    marked, end, rest = text.rpartition("[/TOOL_RESULTS]")
    *parts, last = _MISTRAL_RESULTS.split(marked + end)
    messages: list[Message] = []
    for i, part in enumerate([*parts, last + rest]):
        if i % 2:
            messages.append({"role": "tool", "content": part.strip()})
            continue
        # "</s>" after an empty answer marks a real, empty turn; without it, the text just ends on a question.
        answer, ended = part.rstrip().removesuffix("</s>"), part.rstrip().endswith("</s>")
        if answer.strip() or ended:
            messages.append({"role": "assistant", "content": answer.removeprefix(" ").removesuffix(" ")})
    return messages


def parse_llama2(text: str, note: Note) -> list[Message]:
    """Return the turns marked by '[INST]' and '[/INST]', with the system prompt in <<SYS>>.

    Text before the first mark becomes the system prompt as well, because some tools write it there. One space on each
    side of a turn belongs to the marks, as in Meta's llama/generation.py; further white space belongs to the turn.
    """
    messages: list[Message] = []
    turns = _llama2_turns(text)
    for prompt, answer in (turn.groups() for turn in turns):
        system, question = split_llama2_system(prompt) if not messages else (None, prompt)
        if system is not None:
            messages.append({"role": "system", "content": system})
            prompt = " " + question
        messages.append({"role": "user", "content": prompt.removeprefix(" ").removesuffix(" ")})
        messages += _llama2_answers(answer)
    if not messages:
        raise UnusableRow("no '[INST]' mark")
    before = text[: turns[0].start()].replace("<s>", "").strip()
    if marked := _MISTRAL_SYSTEM.fullmatch(before):
        before = marked[1].strip()
    elif before:
        note("text before the first [INST] is read as the system prompt")
    if before:
        if messages[0]["role"] == "system":
            return [{"role": "system", "content": f"{before}\n\n{messages[0]['content']}"}, *messages[1:]]
        return [{"role": "system", "content": before}, *messages]
    return messages


@dataclass(frozen=True)
class MarkStyle:
    """One way of marking turns in a text.

    Attributes:
        name: Name of the style.
        sign: Pattern that a text of this style contains.
        mark: Pattern of the beginning of a turn; its group is the name of the speaker.
        ends: Marks that close a turn and are removed from its end.
        context: Name of a part that belongs to the question before it, such as Alpaca's input.
        has_tokens: Whether the marks are special tokens, which are never words of a turn.
    """

    name: str
    sign: re.Pattern[str]
    mark: re.Pattern[str]
    ends: tuple[str, ...] = ()
    context: str = ""
    has_tokens: bool = False


_SPEAKERS: dict[str, Role] = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
    "instruction": "user", "question": "user", "response": "assistant", "answer": "assistant", "model": "assistant",
    "tool": "tool", "ipython": "tool", "output": "assistant",
}  # fmt: skip
# Labels of the result of a tool, as words and in capitals: "Function response:", "OBSERVATION:".
_TOOL_NAME = re.compile(
    r"(?:tool|function|api|search)[ _](?:response|result|output)s?|tool|function|observation|results?"
)
TOOL_WORDS = "(?:Tool|Function|API|Search)[ _](?:[Rr]esponse|[Rr]esult|[Oo]utput)s?|Tool|Function|Observation|Results?"
_TOOL_CAPITALS = "(?:TOOL|FUNCTION|API|SEARCH)[ _](?:RESPONSE|RESULT|OUTPUT)S?|TOOL|FUNCTION|OBSERVATION|RESULTS?"

GUANACO = MarkStyle("Guanaco", re.compile(r"### Human:"),
                    re.compile(rf"### (Human|Assistant|(?<=\n### )(?:{TOOL_WORDS})): ?"), ("</s>",))  # fmt: skip

# In this order: the styles with special tokens first, since their texts may contain the words of the later ones.
MARK_STYLES: tuple[MarkStyle, ...] = (
    MarkStyle("ChatML", re.compile(r"<\|im_start\|>user"), re.compile(r"<\|im_start\|>(\w+)\n"), ("<|im_end|>",),
              has_tokens=True),
    MarkStyle("Llama 3", re.compile(r"<\|start_header_id\|>user"),
              re.compile(r"(?:<\|begin_of_text\|>)?<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n"),
              ("<|eot_id|>", "<|end_of_text|>"), has_tokens=True),
    MarkStyle("Gemma", re.compile(r"<start_of_turn>user"), re.compile(r"(?:<bos>)?<start_of_turn>(\w+)\n"),
              ("<end_of_turn>", "<eos>"), has_tokens=True),
    MarkStyle("Zephyr", re.compile(r"<\|user\|>"),
              re.compile(r"<\|(system|user|assistant|tool|observation|function|tool_response)\|>\n?"),
              ("</s>", "<|end|>", "<|endoftext|>"), has_tokens=True),
    MarkStyle("NeMo", re.compile(r"<extra_id_1>(?:User|Assistant)\b"),
              re.compile(r"<extra_id_[01]>(System|User|Assistant)[ \t]*\n"), has_tokens=True),
    MarkStyle("Alpaca", re.compile(r"### Instruction:"),
              re.compile(r"(?:\A|\n)### (Instruction|Input|Response|Question|Answer|Output|System|"
                         rf"{TOOL_WORDS}):[ \n]*"),
              ("</s>", "<|endoftext|>"), "input"),
    MarkStyle("Human and Assistant", re.compile(r"(?:\A|\n\n)Human: "),
              re.compile(rf"(?:\A|\n\n)(Human|Assistant|{TOOL_WORDS}): ?")),
    MarkStyle("Vicuna", re.compile(r"(?:\A|\s)USER: "),
              re.compile(rf"(?:\A|\s|</s>|<\|endoftext\|>)(USER|ASSISTANT|{_TOOL_CAPITALS}): ?"),
              ("</s>", "<|endoftext|>")),
)  # fmt: skip
_SYSTEM_LABEL = re.compile(r"\s*(?:#{1,3} ?)?(?:SYSTEM|System)(?: (?:PROMPT|MESSAGE|[Pp]rompt|[Mm]essage))?:\s*")


def without_system_label(text: str) -> tuple[str, str]:
    """Return a system prompt without the label before it, such as 'SYSTEM:', and the label; "" for none."""
    label = _SYSTEM_LABEL.match(text)
    return (text[label.end() :], label[0].strip()) if label else (text, "")


def _system_turn(before: str, note: Note) -> list[Message]:
    """Return the system turn of the text before the first mark; none where there is no text."""
    before = before.strip()
    content, label = without_system_label(before)
    if before and not label:
        note("text before the first turn is read as the system prompt")
    return [{"role": "system", "content": content}] if content else []


def parse_guanaco(text: str) -> list[Message]:
    """Return the turns marked by '### Human:' and '### Assistant:'; text before the first is the system turn.

    Results of tools, such as '### Observation:', are turns between two answers.
    """
    before, turns = _split(GUANACO, text)
    if not turns:
        raise UnusableRow("no '### Human:' mark")
    content, _ = without_system_label(before.strip())
    messages: list[Message] = [{"role": "system", "content": content}] if content else []
    return messages + [{"role": speaker_role(name, usual_role) or "user", "content": part} for name, part in turns]


def style_of(text: str) -> MarkStyle | None:
    """Return the first style of which a text contains at least two marks, or None."""
    return next((style for style in MARK_STYLES if style.sign.search(text) and len(split_turns(style, text)) > 1), None)


def split_turns(style: MarkStyle, text: str) -> list[tuple[str, str]]:
    """Return the speaker, in lower case, and the text of each marked turn."""
    return _split(style, text)[1]


def _split(style: MarkStyle, text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the text before the first mark, and the speaker and the text of each turn."""
    marks = list(style.mark.finditer(text))
    if not style.has_tokens:
        marks = _without_prose(marks)
    if not marks:
        return text, []
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return text[: marks[0].start()], [
        (mark[1].lower(), text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)
    ]


def _without_prose(marks: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return marks without the labels of tools that are words of an answer.

    A label such as "Results:" marks the result of a tool only between two answers: the answer that calls the tool and
    the one that uses what it returned.
    """
    if not any(_TOOL_NAME.fullmatch(mark[1].lower()) for mark in marks):
        return marks
    return _beside_answers(_beside_answers(marks[::-1])[::-1])


def _beside_answers(marks: list[re.Match[str]]) -> list[re.Match[str]]:
    """Drop the labels of tools, unless the nearest other mark before them is an answer's."""
    kept: list[re.Match[str]] = []
    speaker: Role | None = None
    for mark in marks:
        is_tool = _TOOL_NAME.fullmatch(mark[1].lower())
        speaker = speaker if is_tool else speaker_role(mark[1].lower(), usual_role)
        if not is_tool or speaker == "assistant":
            kept.append(mark)
    return kept


def parse_marked(text: str, note: Note, role_of: Callable[[str], Role | None] = usual_role) -> list[Message]:
    """Return the turns of a text in one of MARK_STYLES; text before the first mark is the system turn.

    Raises:
        UnusableRow: The text contains no marks, or a speaker is unknown.
    """
    style = style_of(text)
    if style is None:
        raise UnusableRow("no marks of turns")
    return parse_style(text, style, note, role_of)


def speaker_role(name: str, role_of: Callable[[str], Role | None]) -> Role | None:
    """Return the role of a speaker by the name in its mark, in lower case; None for an unknown one."""
    return _SPEAKERS.get(name) or ("tool" if _TOOL_NAME.fullmatch(name) else role_of(name))


def parse_style(text: str, style: MarkStyle, note: Note, role_of: Callable[[str], Role | None]) -> list[Message]:
    """Return the turns of a text in one style, as `parse_marked` does.

    Raises:
        UnusableRow: A speaker is unknown.
    """
    before, turns = _split(style, text)
    before = before.replace("<s>", "")
    if style.has_tokens and turns and before.strip() and speaker_role(turns[0][0], role_of) == "assistant":
        # HelpSteer2 marks every turn but the first one, which is the question of this answer.
        messages: list[Message] = [{"role": "user", "content": _without_ends(before, style)}]
    else:
        messages = _system_turn(before, note)
    for name, content in turns:
        # In styles without special tokens, "</s>" may be a mark or a part of the answer: that is decided over all rows
        # (repeated_marks).
        text_of_turn = _without_ends(content, style) if style.has_tokens else content.strip()
        if name == style.context and messages and messages[-1]["role"] == "user":
            if text_of_turn:
                messages[-1]["content"] += f"\n\n{text_of_turn}"
            continue
        role = speaker_role(name, role_of)
        if role is None:
            raise UnusableRow(f"unknown role {name[:40]!r}; name it under Roles")
        # An empty answer is where the text stops and waits for the model.
        if text_of_turn or role != "assistant":
            messages.append({"role": role, "content": text_of_turn})
    return messages


def _without_ends(content: str, style: MarkStyle) -> str:
    content = content.strip()
    while end := next((end for end in style.ends if content.endswith(end)), None):
        content = content.removesuffix(end).rstrip()
    return content
