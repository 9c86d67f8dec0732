"""Columns that make an otherwise certain reading doubtful, because two columns may hold the same part of a row."""

from core.data.formats import columns as names
from core.data.formats.columns import find_column
from core.data.formats.proposal import QUESTION_NAMES, Columns, Proposal, Rows, count_present, make_proposal

# Other names than QUESTION_NAMES of a column that is the user's turn and nothing else.
_USER_NAMES = ("user", "human", "user_input", "user_message", "human_message")
# Columns that Alpaca's `instruction` reads as its input, so that they are no second question.
_INPUT_NAMES = ("input", "inputs")


def second_question(rows: Rows, found: Columns, prompt: str, answer: str) -> str | None:
    """Return another column that may be the user's turn as well as `prompt`, or None.

    A column that repeats the prompt, or the answer with the prompt, is a copy and no second question.
    """
    is_alpaca = find_column([prompt], ("instruction", "instructions", "definition", "task_description"))
    for want in (*QUESTION_NAMES, *_USER_NAMES):
        name = find_column([name for name in found if name not in (prompt, answer)], (want,))
        if name is None or found[name].kind not in ("prose", "short") or (is_alpaca and want in _INPUT_NAMES):
            continue
        if not (holds(rows, name, prompt) or holds(rows, prompt, name) or holds(rows, name, answer)):
            return name
    return None


def holds(rows: Rows, outer: str, inner: str) -> bool:
    """Return whether the text of one column is a part of that of another in most rows."""
    return 2 * sum(str(row.get(inner)).strip() in str(row.get(outer)) for row in rows) > len(rows)


def constant_as_system(rows: Rows, found: Columns, constant: str, question: str, answer: str) -> Proposal:
    """Propose a column that is the same in all rows as the system prompt of the questions in another column."""
    rest = [name for name in found if name not in (constant, question, answer)]
    slots = {"prompt": question, "completion": answer, "system": constant}
    slots |= {"context": find_column(rest, names.CONTEXT_NAMES), "tools": find_column(rest, names.TOOL_NAMES)}
    evidence = f"a question in {question!r} and an answer in {answer!r}, with {constant!r} as the system prompt"
    doubt = f"{constant!r}, the same in all rows, may be the system prompt or a part of the question in {question!r}"
    return make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, question, answer), doubt)
