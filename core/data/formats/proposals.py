"""Readings that could fit the rows of a data set, the most specific first, each with the rows that show its signs."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.data.formats import columns as names
from core.data.formats.columns import Column, Row, find_column
from core.data.formats.marks import style_of
from core.data.formats.options import FormatName
from core.data.formats.reading import Reading, by_name
from core.data.formats.turns import is_conversation, is_turn
from core.data.formats.values import is_missing, nested

_FEW_LABELS = 20  # different values of a column that is not called a label
_MOST_LABELS = 200  # of one that is; files sorted by label show only one of them in the first rows
_LONGEST_LABEL = 40
_TEXT_SHARE = 0.8  # of all characters: a column of text beside it is not what the data set is about
_INSTRUCTION_NAMES = ("instruction", "instructions", "definition", "task_description")
_INPUT_NAMES = ("input", "inputs", *names.CONTEXT_NAMES)
# A column so called holds what is asked, never what is to be learned on its own.
_QUESTION_NAMES = (
    "prompt",
    "question",
    "query",
    "instruction",
    "instructions",
    "input",
    "inputs",
    "problem",
    "request",
)


@dataclass(frozen=True)
class Proposal:
    """A reading that could fit.

    Attributes:
        evidence: what speaks for it.
        rows: how many rows show it.
        doubt: why the user should decide; "" when there is no doubt.
    """

    reading: Reading
    evidence: str
    rows: int
    doubt: str = ""

    @property
    def sure(self) -> bool:
        return not self.doubt

    def made_sure(self) -> "Proposal":
        return replace(self, doubt="")


Rows = Sequence[Row]
Columns = dict[str, Column]


def proposals(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Yield the readings that could fit `rows`, whose columns are `found`."""
    for propose in (_tree, _preference, _turns, _pairs, _marked, _labelled, _plain):
        yield from propose(rows, found)


def _proposal(
    found: Columns, form: FormatName, columns: dict[str, str | None], evidence: str, rows: int, doubt: str = ""
) -> Proposal:
    """Return a proposal that names a column only where the format would not find it by its usual name."""
    slots, every = by_name(form).slots, tuple(found)
    named = {slot: name for slot, name in columns.items() if name and find_column(every, slots[slot]) != name}
    return Proposal(Reading(format=form, columns=named), evidence, rows, doubt)


def _count(rows: Rows, name: str, test: Callable[[Any], bool]) -> int:
    return sum(name in row and not is_missing(row[name]) and test(row[name]) for row in rows)


def _present(rows: Rows, *columns: str) -> int:
    return sum(all(name in row for name in columns) for row in rows)


def _tree(rows: Rows, found: Columns) -> Iterator[Proposal]:
    for name in found:
        if count := _count(
            rows, name, lambda value: isinstance(value, dict) and isinstance(value.get("replies"), list)
        ):
            yield _proposal(found, "tree", {"prompt": name}, f"a tree of replies in the column {name!r}", count)


def _preference(rows: Rows, found: Columns) -> Iterator[Proposal]:
    chosen, rejected = find_column(list(found), names.CHOSEN_NAMES), find_column(list(found), names.REJECTED_NAMES)
    if not chosen or not rejected:
        return
    prompt = find_column(list(found), (*names.PROMPT_NAMES, *names.TURN_NAMES))
    evidence = f"a chosen and a rejected answer in the columns {chosen!r} and {rejected!r}; the chosen one is learned"
    yield _proposal(
        found,
        "preference",
        {"prompt": prompt, "chosen": chosen, "rejected": rejected, **_beside(found, {prompt, chosen, rejected})},
        evidence,
        _present(rows, chosen),
    )


def _beside(found: Columns, taken: set[str | None]) -> dict[str, str | None]:
    """Return the columns of a system prompt, of context and of tools that stand beside a question."""
    rest = [name for name in found if name not in taken]
    return {
        "system": find_column(rest, names.SYSTEM_NAMES),
        "context": find_column(rest, names.CONTEXT_NAMES),
        "tools": find_column(rest, names.TOOL_NAMES),
    }


def _verdict(rows: Rows, found: Columns) -> str | None:
    """Return the column of flags that say whether an answer is good, or None."""
    name = find_column(list(found), names.VERDICT_NAMES)
    flags = [row[name] for row in rows if name in row and not is_missing(row[name])] if name else []
    is_flag = flags and all(isinstance(v, bool) or str(v).lower() in ("true", "false") for v in flags)
    return name if is_flag else None


def _turns(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the columns that hold lists of turns, the usually named ones first."""
    usual = {name: place for place, name in enumerate(names.TURN_NAMES)}
    of_column = {name: _count(rows, name, is_conversation) for name in found}
    for name in sorted((n for n in found if of_column[n]), key=lambda n: (usual.get(n.lower(), 99), n)):
        completion = find_column([n for n in found if n != name], names.COMPLETION_NAMES)
        question = find_column([n for n in found if n != name], _QUESTION_NAMES)
        if (find_column([name], _QUESTION_NAMES) and completion) or (find_column([name], ("completion",)) and question):
            continue  # the turns before an answer and the answer stand in columns of their own
        first = next(turn[0] for turn in (nested(row.get(name)) for row in rows) if is_conversation(turn))
        slot, form = ("conversations", "sharegpt") if "from" in first else ("messages", "messages")
        where = f"in the column {name!r}"
        if verdict := _verdict(rows, found):
            evidence = f"a list of turns {where} and a flag in {verdict!r}; answers flagged as bad are left out"
            columns = {"messages": name, "label": verdict}
            yield _proposal(found, "rated", columns, evidence, _present(rows, name))
            continue
        beside = {key: column for key, column in _beside(found, {name}).items() if key != "context"}
        sign, doubt = by_name(form).sign, ""
        if not is_turn(first):
            sign = "a list of questions and answers"
            if not find_column([name], names.TURN_NAMES):
                doubt = f"the questions and answers {where} may be turns or separate examples"
        yield _proposal(found, form, {slot: name, **beside}, f"{sign}, {where}", of_column[name], doubt)
    yield from _alternating(rows, found)


def _alternating(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose lists of texts: turns that alternate, where the column is called like a conversation (UltraChat)."""

    def is_texts(value: Any) -> bool:
        value = nested(value)
        return isinstance(value, list) and len(value) > 1 and all(isinstance(text, str) for text in value)

    for name in found:
        if not (count := _count(rows, name, is_texts)):
            continue
        sure = find_column([name], (*names.TURN_NAMES, "data"))
        doubt = "" if sure else f"the column {name!r} is a list of texts; they may be turns or answers to choose from"
        evidence = f"a list of texts that alternate between user and assistant, in the column {name!r}"
        yield _proposal(found, "messages", {"messages": name}, evidence, count, doubt)


def _pairs(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose a question and an answer in columns of their own, with what stands beside them."""
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


def _is_alpaca(found: Columns, answer: str) -> bool:
    """Return whether a column is Alpaca's `output`, the answer beyond doubt whatever stands beside it."""
    return answer == "output" and "instruction" in found


def _asks(prompt: str, answer: str) -> bool:
    """Return whether a column is beyond doubt what is asked: by its name, or as the text of a summary."""
    if find_column([prompt], names.PROMPT_NAMES + _INSTRUCTION_NAMES):
        return True
    return bool(find_column([answer], ("summary", "highlights")) and find_column([prompt], names.TEXT_NAMES))


def _only_text(found: Columns, answer: str) -> str | None:
    """Return the only column of prose beside the answer, or None."""
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
        return _proposal(found, "rated", slots, evidence, _present(rows, prompt, answer), doubt)
    return _proposal(found, form, slots, f"{by_name(form).sign} ({words})", _present(rows, prompt, answer), doubt)


def _marked(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose texts with marks of turns in them."""
    tests: tuple[tuple[FormatName, Callable[[Any], bool]], ...] = (
        ("guanaco", lambda value: isinstance(value, str) and "### Human:" in value),
        ("llama2", lambda value: isinstance(value, str) and "[INST]" in value and "[/INST]" in value),
        ("marked", lambda value: isinstance(value, str) and style_of(value) is not None),
    )
    for form, test in tests:
        for name, column in found.items():
            if column.characters and (count := _count(rows, name, test)):
                yield _proposal(found, form, {"text": name}, f"{by_name(form).sign}, in the column {name!r}", count)


def _prose(found: Columns) -> list[str]:
    return [name for name, column in found.items() if column.kind == "prose"]


def _labelled(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose a text with a column of few, short, repeated values."""
    usual = {name: place for place, name in enumerate(names.LABEL_NAMES)}
    texts = [name for name in found if found[name].characters and found[name].kind in ("prose", "short")]
    for name in sorted(found, key=lambda n: (usual.get(n.lower(), 99), n)):
        text = find_column([t for t in texts if t != name], names.TEXT_NAMES) or max(
            (t for t in texts if t != name), key=lambda t: found[t].characters, default=None
        )
        labels = _labels(rows, name, named=name.lower() in usual)
        if text is None or not labels:
            continue
        if found[text].characters < 2 * sum(len(label) * count for label, count in labels.items()):
            continue
        shown = ", ".join(label for label, _ in labels.most_common(4)) + (", …" if len(labels) > 4 else "")
        several = [other for other in _prose(found) if other not in (text, name)]
        doubt = "" if name.lower() in usual else f"{name!r} may be a label or a remark"
        if several:
            doubt = f"{text!r} and {several[0]!r} may both belong to the question"
        evidence = f"{len(labels)} different values in the column {name!r} ({shown}) beside the text in {text!r}"
        columns = {"text": text, "label": name}
        yield Proposal(Reading(format="label", columns=columns), evidence, _present(rows, text, name), doubt)


def _labels(rows: Rows, name: str, named: bool) -> Counter[str]:
    """Return the values of a column that could be labels with their counts; none when they could not."""
    values = [row[name] for row in rows if isinstance(row.get(name), (str, int, bool)) and not is_missing(row[name])]
    several = Counter(map(str, values))
    if find_column([name], names.SURE_LABEL_NAMES):
        few = 1 <= len(several) <= _MOST_LABELS
    else:
        few = 2 <= len(several) <= _FEW_LABELS and len(values) >= (2 if named else 20 * len(several))
    return several if few and max(map(len, several)) <= _LONGEST_LABEL else Counter()


def _plain(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose columns of prose as plain text. Ids, categories and constants are never proposed."""
    total = sum(column.characters for column in found.values())
    open_kinds = [name for name, column in found.items() if column.kind in ("prose", "short", "nested")]
    usual = find_column(open_kinds, names.TEXT_NAMES)
    texts = [name for name in found if found[name].kind == "prose" or (name == usual and found[name].characters)]
    missing = _missing_part(found)
    for name in sorted(texts, key=lambda n: (n != usual, -found[n].characters)):
        doubt = missing
        if not doubt and len(open_kinds) > 1 and not (name == usual and found[name].characters >= _TEXT_SHARE * total):
            doubt = f"{len(open_kinds)} columns may hold what is to be learned"
        evidence = f"no marks of turns; the column {name!r} is read as plain text"
        filled = _count(rows, name, lambda value: isinstance(value, str))
        yield _proposal(found, "text", {"text": name}, evidence, filled, doubt)


def _missing_part(found: Columns) -> str:
    """Return why rows with text are not plain text though no format with turns fits; "" when nothing says so."""
    every = list(found)
    parent = find_column(every, ("parent_id", "parent"))
    if parent and find_column(every, ("role", "from", "author")):
        return f"each row is one message of a tree (column {parent!r}); the file of whole trees can be read"
    if question := find_column(every, _QUESTION_NAMES):
        return f"the column {question!r} holds questions, and no column of answers was found"
    filled = [name for name in every if found[name].kind != "empty"]
    answer = find_column(filled, (*names.SURE_LABEL_NAMES, *names.COMPLETION_NAMES))
    return f"the column {answer!r} may hold what is to be answered about the text" if answer else ""
