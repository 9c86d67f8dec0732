"""Parsers of the formats: one function per format turns the cells of a row into messages.

A parser reads its slots through `Cells`, which records the columns that were read, and adds a note for everything that
it changes or leaves out. `FORMATS` lists the formats with their slots and the usual names of their columns.
"""

from typing import Any

from core.data.formats import columns as names
from core.data.formats.answer_choice import better_answer, right_answer
from core.data.formats.answer_lists import best_answer, is_answer_list
from core.data.formats.api_bodies import failed_reason, is_request, response_of
from core.data.formats.cells import Cells, Format, with_system
from core.data.formats.chat_trees import current_turns, is_node_map
from core.data.formats.choices import choice_turns
from core.data.formats.columns import find_column
from core.data.formats.conversation import Message, UnusableRow
from core.data.formats.envelopes import find_call, spelled_envelope, unwrap_text
from core.data.formats.label_turns import label_turns
from core.data.formats.marks import parse_guanaco, parse_llama2, parse_marked
from core.data.formats.paired import pair_turns
from core.data.formats.steps import is_method_name, steps_text
from core.data.formats.system_parts import add_to_system
from core.data.formats.transcripts import is_transcript, parse_transcript
from core.data.formats.turn_columns import read_conversation, read_opened_conversation, turns_of
from core.data.formats.turns import is_conversation, is_turn, read_turn, read_turns
from core.data.formats.values import answer_of, is_missing, nested, number_of_text, text_of
from core.data.formats.verdicts import verdict_of


def _with_columns(messages: list[Message], cells: Cells) -> list[Message]:
    """Add the system prompt and the tools that are in columns of their own to the system turn."""
    return add_to_system(messages, _system(cells), cells.text("tools"), cells.note)


def _system(cells: Cells) -> str:
    """Return the system prompt of its column.

    It is a text, or a turn (Gemini) or a list of typed parts (Anthropic), which are converted like any other turn.
    """
    value = nested(cells.get("system"))
    is_parts = isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    if is_parts or (isinstance(value, dict) and value.keys() & {"parts", "content"}):
        turn = {"content": value} if is_parts else value
        return read_turn({**turn, "role": "system"}, cells.note, cells.think)["content"]
    return cells.text("system")


def _messages(cells: Cells) -> list[Message]:
    return _with_columns(read_opened_conversation(cells), cells)


def _sharegpt(cells: Cells) -> list[Message]:
    return _with_columns(read_conversation(cells, "conversations"), cells)


def _alpaca(cells: Cells) -> list[Message]:
    instruction = text_of(cells.get("instruction"), "instruction", cells.note)
    output, context = cells.get("output"), cells.text("input")
    messages: list[Message] = []
    for question, answer in _history(cells.get("history")):
        messages.append({"role": "user", "content": text_of(question, "a question of the history", cells.note)})
        messages.append({"role": "assistant", "content": text_of(answer, "an answer of the history", cells.note)})
    question = f"{instruction}\n\n{context}" if context.strip() else instruction
    messages.append({"role": "user", "content": question})
    messages.append({"role": "assistant", "content": _answer(output, "output", cells)})
    return _with_columns(messages, cells)


def _answer(value: Any, slot: str, cells: Cells) -> str:
    """Return the text of an answer: the best one of a list, or the certain text inside an object."""
    if is_method_name(cells.column(slot) or "") and (steps := steps_text(value, slot, cells.note)) is not None:
        return steps
    if is_answer_list(value, cells.role):
        value = best_answer(value, slot, cells.note)
    value = _spelled_answers(spelled_envelope(value), slot, cells)
    if found := find_call(value):
        path, message = found
        cells.note(f"of {slot}, the message{f' in {path}' if path else ''} is used, with its tool calls")
        return read_turn(message, cells.note, cells.think, cells.role)["content"]
    return answer_of(unwrap_text(value, slot, cells.note), slot, cells.note)


def _spelled_answers(value: Any, slot: str, cells: Cells) -> Any:
    """Return the list of answers that a text spells, if the column is named for several; other values unchanged."""
    if not isinstance(value, str) or not find_column([cells.column(slot) or ""], names.SEVERAL_ANSWERS_NAMES):
        return value
    found = nested(value)
    return found if isinstance(found, list) and found and all(isinstance(text, str) for text in found) else value


def _history(value: Any) -> list[Any]:
    pairs = [] if is_missing(value) else nested(value)
    if not isinstance(pairs, (list, tuple)) or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
        raise UnusableRow("history is not a list of pairs")
    return list(pairs)


def _prompt_completion(cells: Cells) -> list[Message]:
    prompt = cells.get("prompt")
    completion = right_answer(cells) if "correct" in cells.reading.columns else cells.get("completion")
    prompt_turns = _prompt_turns(prompt, "prompt", cells)
    if isinstance(completion, (dict, list, str)) and (reason := failed_reason(nested(completion))):
        cells.note(f"the answer was cut or refused ({reason!r}); it is trained")
    completion = response_of(spelled_envelope(completion), "completion", cells.note)
    if is_request(completion) or (is_conversation(completion) and not is_answer_list(completion, cells.role)):
        answer_turns = turns_of(completion, cells)
        if len(answer_turns) > len(prompt_turns) and answer_turns[: len(prompt_turns)] == prompt_turns:
            cells.note("the turns of the prompt are repeated in the completion, and used once")
            prompt_turns = []
    else:
        answer_turns = [{"role": "assistant", "content": _answer(completion, "completion", cells)}]
    return _with_columns([*prompt_turns, *answer_turns], cells)


def _prompt_turns(prompt: Any, slot: str, cells: Cells) -> list[Message]:
    """Return the turns before an answer: those of a list, or one question followed by its context."""
    value = nested(prompt)
    if is_conversation(value) or is_request(value):
        return _with_context(turns_of(value, cells), cells)
    question = text_of(unwrap_text(prompt, slot, cells.note), slot, cells.note)
    context = cells.text("context")
    return [{"role": "user", "content": f"{question}\n\n{context}" if context.strip() else question}]


def _with_context(messages: list[Message], cells: Cells) -> list[Message]:
    """Append the context to the last question of the turns before an answer."""
    context, last = cells.text("context"), messages[-1] if messages else None
    if not context.strip() or last is None or last["role"] != "user":
        return messages
    return [*messages[:-1], {**last, "content": f"{last['content']}\n\n{context}"}]


def _preference(cells: Cells) -> list[Message]:
    """Parse a preference pair: the chosen answer becomes the answer, the rejected one is not trained on."""
    has_choice = bool({"choice", "scale"} & cells.reading.columns.keys())
    chosen, rejected = better_answer(cells) if has_choice else (cells.get("chosen"), cells.get("rejected"))
    chosen = nested(chosen)
    if not is_missing(rejected):
        cells.note("the rejected answer is not trained")
    prompt = cells.get("prompt")
    prompt_turns = [] if is_missing(prompt) else _prompt_turns(prompt, "prompt", cells)
    if is_turn(chosen):
        chosen = [chosen]
    if is_conversation(chosen):
        answer_turns = turns_of(chosen, cells)
        # A chosen conversation that does not start with the answer repeats the prompt (UltraFeedback).
        if answer_turns and answer_turns[0]["role"] != "assistant":
            prompt_turns = []
    elif not prompt_turns:
        # Without a prompt column, the text itself must hold the whole conversation with marks (Anthropic's HH).
        answer_turns = parse_marked(text_of(chosen, "the chosen answer", cells.note), cells.note, cells.role)
    else:
        answer_turns = [{"role": "assistant", "content": answer_of(chosen, "the chosen answer", cells.note)}]
    return _with_columns([*prompt_turns, *answer_turns], cells)


def _rated(cells: Cells) -> list[Message]:
    """Parse a conversation with a flag (KTO) that is true for a good answer; rows with bad answers are unusable."""
    label = cells.get("label")
    verdict = verdict_of(label)
    if verdict is None:
        raise UnusableRow(f"the label {str(label)[:40]!r} is neither true nor false")
    if not verdict:
        raise UnusableRow("labeled as a bad answer")
    if not is_missing(cells.get("messages")):
        return _with_columns(read_opened_conversation(cells), cells)
    return _prompt_completion(cells)


def _tree(cells: Cells) -> list[Message]:
    """Parse the best-ranked path through OpenAssistant's tree of messages, or the current one of ChatGPT's."""
    node = nested(cells.get("prompt"))
    if is_node_map(node):
        turns = current_turns(node, cells.get("current"), cells.note)
        return read_turns(turns, cells.note, cells.think, cells.role)
    if not isinstance(node, dict):
        raise UnusableRow("the prompt is not the first message of a tree")
    messages: list[Message] = []
    cells.note("of each message of the tree, role, text and rank are used")
    while node:
        turn = {key: node.get(key) for key in ("role", "text")}
        messages.append(read_turn(turn, cells.note, cells.think, cells.role))
        below = node.get("replies")
        replies = [reply for reply in below if isinstance(reply, dict)] if isinstance(below, list) else []
        usable = [reply for reply in replies if not reply.get("deleted") and reply.get("text")]
        if len(replies) > 1:
            cells.note("only the best-ranked reply to each message is used")
        # Rank 0 is the best one; replies without a rank come last.
        node = min(usable, key=_rank, default=None)
    return messages


def _rank(reply: dict[str, Any]) -> tuple[bool, float]:
    rank = number_of_text(reply.get("rank"))
    return rank is None, rank or 0.0


def _paired(cells: Cells) -> list[Message]:
    return _with_columns(pair_turns(cells), cells)


def _multiple_choice(cells: Cells) -> list[Message]:
    return _with_columns(choice_turns(cells), cells)


def _with_columns_beside_text(messages: list[Message], cells: Cells) -> list[Message]:
    """Add the system prompt and the tools of other columns to a marked text, unless the text holds them already."""
    extended = _with_columns([], cells)
    if not extended or extended[0]["content"].strip() in "\n\n".join(m["content"] for m in messages):
        return messages
    return with_system(messages, [extended[0]["content"]])


def _guanaco(cells: Cells) -> list[Message]:
    return _with_columns_beside_text(parse_guanaco(text_of(cells.get("text"), "text", cells.note)), cells)


def _llama2(cells: Cells) -> list[Message]:
    messages = parse_llama2(text_of(cells.get("text"), "text", cells.note), cells.note)
    return _with_columns_beside_text(messages, cells)


def _marked(cells: Cells) -> list[Message]:
    text = text_of(cells.get("text"), "text", cells.note)
    messages = (parse_transcript if is_transcript(text) else parse_marked)(text, cells.note, cells.role)
    return _with_columns_beside_text(messages, cells)


def _plain(cells: Cells) -> list[Message]:
    return [{"role": "text", "content": text_of(cells.get("text"), "text", cells.note)}]


def _undecided(cells: Cells) -> list[Message]:
    raise UnusableRow("no format is chosen yet")


_SYSTEM_AND_TOOLS = {"system": names.SYSTEM_NAMES, "tools": names.TOOL_NAMES}
_TURNS = {
    "messages": ("messages", "conversation", "conversations", "contents", "chat", "dialog", "turns"),
    # The first message, and its author, where they are not in the list.
    "opening": (),
    "asker": (),
    **_SYSTEM_AND_TOOLS,
}
_MARKED_TEXT = {"text": names.TEXT_NAMES, **_SYSTEM_AND_TOOLS}

# Fields of an entry: name, label, sign, slots with the usual names of their columns, required slots, parser,
# whether its turns name their speaker, and `Format.has_turns`.
FORMATS: tuple[Format, ...] = (
    Format("messages", "messages", "a list of turns with role and content", _TURNS, ("messages",), _messages, True,
           has_turns=True),
    Format("sharegpt", "ShareGPT", "a list of turns with from and value",
           {"conversations": ("conversations", "conversation"), **_SYSTEM_AND_TOOLS}, ("conversations",), _sharegpt,
           True, has_turns=True),
    Format("alpaca", "Alpaca", "columns for an instruction and an output",
           {"instruction": ("instruction",), "input": ("input",), "output": ("output",), "history": ("history",),
            **_SYSTEM_AND_TOOLS}, ("instruction", "output"), _alpaca, has_turns=True),
    Format("prompt_completion", "prompt and completion", "a prompt column and a completion column",
           {"prompt": ("prompt", "question", "query"), "completion": ("completion", "response", "answer"),
            "correct": (), "context": names.CONTEXT_NAMES, **_SYSTEM_AND_TOOLS},
           ("prompt", "completion"), _prompt_completion, True, has_turns=True),
    Format("preference", "preference pairs", "a chosen and a rejected answer",
           {"prompt": ("prompt", "question", "query", "instruction", "input", "conversations"),
            "chosen": names.CHOSEN_NAMES, "rejected": names.REJECTED_NAMES, "choice": (), "scale": (),
            "context": names.CONTEXT_NAMES, **_SYSTEM_AND_TOOLS}, ("chosen",), _preference, True, has_turns=True),
    Format("rated", "rated answers", "a conversation and a flag that says whether its answer is good",
           {**_TURNS, "prompt": ("prompt", "question", "query"), "completion": ("completion", "response", "answer"),
            "label": names.VERDICT_NAMES, "context": names.CONTEXT_NAMES}, ("label",), _rated, True, has_turns=True),
    Format("tree", "message trees", "a first message with its tree of replies, or a map of messages with their parents",
           {"prompt": ("prompt", "mapping"), "current": ("current_node",)}, ("prompt",), _tree, True, has_turns=True),
    Format("paired", "paired lists", "a list of questions and a list of answers, or numbered columns of both",
           {"questions": ("questions",), "answers": ("answers",), "context": names.CONTEXT_NAMES, **_SYSTEM_AND_TOOLS},
           ("questions", "answers"), _paired, has_turns=True),
    Format("multiple_choice", "multiple choice", "a question, its choices, and the one that is right",
           {"question": ("question", "prompt", "query"), "choices": (*names.OPTION_NAMES, "A", "option_a", "option_1"),
            "answer": ("answer", "answer_key", "label"), "answer_from_1": (), "context": names.CONTEXT_NAMES,
            **_SYSTEM_AND_TOOLS}, ("question", "choices"), _multiple_choice, has_turns=True),
    Format("guanaco", "Guanaco text", "'### Human:' marks in a text",
           _MARKED_TEXT, ("text",), _guanaco, has_turns=False),
    Format("llama2", "Llama-2 text", "'[INST]' marks in a text", _MARKED_TEXT, ("text",), _llama2, has_turns=False),
    Format("marked", "text with turn marks", "marks of turns such as '<|im_start|>user' or 'USER:' in a text",
           _MARKED_TEXT, ("text",), _marked, True, has_turns=False),
    Format("label", "text with a label", "a text and a column of few, short, repeated values",
           {"text": names.TEXT_NAMES, "label": ("label",)}, ("text", "label"), label_turns, has_turns=False),
    Format("text", "plain text", "text without marks of turns: for continued pre-training",
           {"text": names.TEXT_NAMES}, ("text",), _plain, has_turns=False),
    Format("undecided", "not chosen yet", "no format is certain", {}, (), _undecided, has_turns=False),
)  # fmt: skip
