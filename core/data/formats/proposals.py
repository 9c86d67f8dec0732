"""Proposals of readings with trees, preference pairs, lists of turns, or question and answer.

`proposals` yields all proposals of the detection, the most specific first; those of a single text column are in
`text_proposals`. Order matters: `detect` takes the first one that is sure.
"""

from collections.abc import Iterator
from typing import Any

from core.data.formats import columns as names
from core.data.formats.columns import find_column
from core.data.formats.options import FormatName
from core.data.formats.proposal import (
    QUESTION_NAMES,
    Columns,
    Proposal,
    Rows,
    count_filled,
    count_present,
    make_proposal,
)
from core.data.formats.reading import get_format
from core.data.formats.text_proposals import propose_labelled, propose_marked, propose_plain
from core.data.formats.turns import is_conversation, is_turn
from core.data.formats.values import is_missing, nested

_INSTRUCTION_NAMES = ("instruction", "instructions", "definition", "task_description")
_INPUT_NAMES = ("input", "inputs", *names.CONTEXT_NAMES)


def proposals(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Yield the readings that could fit `rows`, whose columns are `found`."""
    for propose in (_tree, _preference, _turns, _pairs, propose_marked, propose_labelled, propose_plain, _two_texts):
        yield from propose(rows, found)


def _tree(rows: Rows, found: Columns) -> Iterator[Proposal]:
    for name in found:
        if count := count_filled(
            rows, name, lambda value: isinstance(value, dict) and isinstance(value.get("replies"), list)
        ):
            yield make_proposal(found, "tree", {"prompt": name}, f"a tree of replies in the column {name!r}", count)


def _preference(rows: Rows, found: Columns) -> Iterator[Proposal]:
    chosen, rejected = find_column(list(found), names.CHOSEN_NAMES), find_column(list(found), names.REJECTED_NAMES)
    if not chosen or not rejected:
        return
    prompt = find_column(list(found), (*names.PROMPT_NAMES, *names.TURN_NAMES))
    evidence = f"a chosen and a rejected answer in the columns {chosen!r} and {rejected!r}; the chosen one is learned"
    yield make_proposal(
        found,
        "preference",
        {"prompt": prompt, "chosen": chosen, "rejected": rejected, **_beside(found, {prompt, chosen, rejected})},
        evidence,
        count_present(rows, chosen),
    )


def _beside(found: Columns, taken: set[str | None]) -> dict[str, str | None]:
    """Return the columns of the system prompt, the context and the tools among those not `taken`."""
    rest = [name for name in found if name not in taken]
    return {
        "system": find_column(rest, names.SYSTEM_NAMES),
        "context": find_column(rest, names.CONTEXT_NAMES),
        "tools": find_column(rest, names.TOOL_NAMES),
    }


def _verdict(rows: Rows, found: Columns) -> str | None:
    """Return the column of booleans that rate the answers as good or bad, or None."""
    name = find_column(list(found), names.VERDICT_NAMES)
    flags = [row[name] for row in rows if name in row and not is_missing(row[name])] if name else []
    is_flag = flags and all(isinstance(v, bool) or str(v).lower() in ("true", "false") for v in flags)
    return name if is_flag else None


def _turns(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the columns that hold lists of turns, those with a usual name first."""
    priority = {name: index for index, name in enumerate(names.TURN_NAMES)}
    row_counts = {name: count_filled(rows, name, is_conversation) for name in found}
    for name in sorted((n for n in found if row_counts[n]), key=lambda n: (priority.get(n.lower(), 99), n)):
        completion = find_column([n for n in found if n != name], names.COMPLETION_NAMES)
        question = find_column([n for n in found if n != name], QUESTION_NAMES)
        # TRL's conversational form: the turns of the prompt and of the completion are in two columns (see `_pairs`).
        if (find_column([name], QUESTION_NAMES) and completion) or (find_column([name], ("completion",)) and question):
            continue
        first = next(turn[0] for turn in (nested(row.get(name)) for row in rows) if is_conversation(turn))
        slot, form = ("conversations", "sharegpt") if {"from", "From"} & first.keys() else ("messages", "messages")
        where = f"in the column {name!r}"
        if verdict := _verdict(rows, found):
            evidence = f"a list of turns {where} and a flag in {verdict!r}; answers flagged as bad are left out"
            columns = {"messages": name, "label": verdict}
            yield make_proposal(found, "rated", columns, evidence, count_present(rows, name))
            continue
        # Lists of turns have no slot for context: it belongs to a single question.
        beside = {key: column for key, column in _beside(found, {name}).items() if key != "context"}
        sign, doubt = get_format(form).sign, ""
        if not is_turn(first):
            sign = "a list of questions and answers"
            if not find_column([name], names.TURN_NAMES):
                doubt = f"the questions and answers {where} may be turns or separate examples"
        yield make_proposal(found, form, {slot: name, **beside}, f"{sign}, {where}", row_counts[name], doubt)
    yield from _alternating(rows, found)


def _alternating(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose lists of texts as alternating turns, without doubt if the column is named like one (UltraChat)."""

    def is_texts(value: Any) -> bool:
        value = nested(value)
        return isinstance(value, list) and len(value) > 1 and all(isinstance(text, str) for text in value)

    for name in found:
        if not (count := count_filled(rows, name, is_texts)):
            continue
        sure = find_column([name], (*names.TURN_NAMES, "data"))
        doubt = "" if sure else f"the column {name!r} is a list of texts; they may be turns or answers to choose from"
        evidence = f"a list of texts that alternate between user and assistant, in the column {name!r}"
        yield make_proposal(found, "messages", {"messages": name}, evidence, count, doubt)


def _pairs(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose a question and an answer in columns of their own, with the columns of context and system prompt."""
    filled = [name for name, column in found.items() if column.kind != "empty"]
    answers = [name for want in names.COMPLETION_NAMES if (name := find_column(filled, (want,)))]
    for answer in dict.fromkeys(answers):
        rest = [name for name in found if name != answer]
        others = [name for name in dict.fromkeys(answers) if name != answer and found[name].kind in ("prose", "short")]
        instruction = find_column(rest, _INSTRUCTION_NAMES)
        prompt = instruction or find_column(rest, names.PROMPT_NAMES) or _only_text(found, answer)
        if prompt is None or prompt == answer:
            continue
        doubts = [
            f"both {answer!r} and {others[0]!r} may hold the answer"
            if others and not _is_alpaca(found, answer)
            else "",
            "" if _asks(prompt, answer) else f"{prompt!r} may be the question",
        ]
        doubt = next((doubt for doubt in doubts if doubt), "")
        yield _pair(rows, found, prompt, answer, is_instruction=instruction is not None, doubt=doubt)


def _two_texts(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the only two columns of text as a question and its answer, always with doubt."""
    texts = [name for name, column in found.items() if column.kind in ("prose", "short")]
    if len(texts) == 2:
        doubt = f"{texts[0]!r} and {texts[1]!r} may be a question and its answer"
        yield _pair(rows, found, texts[0], texts[1], is_instruction=False, doubt=doubt)


def _is_alpaca(found: Columns, answer: str) -> bool:
    """Return whether a column is Alpaca's `output`, which is the answer whatever other columns there are."""
    return answer == "output" and "instruction" in found


def _asks(prompt: str, answer: str) -> bool:
    """Return whether a column is certainly the question: by its name, or as the text of a summary."""
    if find_column([prompt], names.PROMPT_NAMES + _INSTRUCTION_NAMES):
        return True
    return bool(find_column([answer], ("summary", "highlights")) and find_column([prompt], names.TEXT_NAMES))


def _only_text(found: Columns, answer: str) -> str | None:
    """Return the only column of prose apart from the answer, or None."""
    prose = [name for name, column in found.items() if column.kind == "prose" and name != answer]
    return prose[0] if len(prose) == 1 else None


def _pair(rows: Rows, found: Columns, prompt: str, answer: str, is_instruction: bool, doubt: str) -> Proposal:
    beside = _beside(found, {prompt, answer})
    if is_instruction:
        rest = [name for name in found if name not in {prompt, answer, beside["system"], beside["tools"]}]
        given = find_column(rest, _INPUT_NAMES)
        slots = {"instruction": prompt, "input": given, "output": answer, "history": find_column(rest, ("history",)),
                 "system": beside["system"], "tools": beside["tools"]}  # fmt: skip
        form: FormatName = "alpaca"
    else:
        slots, form = {"prompt": prompt, "completion": answer, **beside}, "prompt_completion"
    words = ", ".join(f"{slot} = {name!r}" for slot, name in slots.items() if name)
    verdict = _verdict(rows, found) if form == "prompt_completion" else None
    if verdict and verdict not in (prompt, answer):
        evidence = f"a question, an answer and a flag in {verdict!r}; answers flagged as bad are left out"
        slots |= {"label": verdict}
        return make_proposal(found, "rated", slots, evidence, count_present(rows, prompt, answer), doubt)
    return make_proposal(
        found, form, slots, f"{get_format(form).sign} ({words})", count_present(rows, prompt, answer), doubt
    )
