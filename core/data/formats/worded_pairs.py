"""Questions and answers in columns whose names hold a word for them, such as questionText or "What is your question?".

Where a name is such a word and a filler, the reading is certain; a header that is a sentence, or a pair of people such
as Patient and Doctor, only makes a candidate.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from core.data.formats import columns as names
from core.data.formats.answer_lists import holds_rated_answers
from core.data.formats.columns import Column, find_column, name_words
from core.data.formats.empty_answers import has_no_answers, is_wrong_name
from core.data.formats.envelopes import holds_one_text
from core.data.formats.proposal import Columns, Proposal, Rows, count_present, make_proposal
from core.data.formats.values import is_missing, nested

_QUESTION_WORDS = frozenset(("question", "questions", "prompt", "query", "instruction", "problem", "request", "ask"))
_ANSWER_WORDS = frozenset(
    ("answer", "answers", "response", "responses", "reply", "completion", "output", "solution", "summary", "summaries")
)
_ITEM = re.compile(r"\.\d+(?=\.)|\[\d+\]")
# A header of at least this many words is a sentence, as in a form.
_MIN_SENTENCE_WORDS = 6
# Words of a column about the answer.
_REMARK_WORDS = frozenset(("status", "user", "users", "id", "ids", "score", "date"))
_TITLE_NAMES = ("title", "subject", "headline", "topic")
# Columns of a tracker such as Jira.
_TRACKER_NAMES = (
    "issue_key",
    "issue_id",
    "issue_type",
    "bug_id",
    "priority",
    "assignee",
    "assigned_to",
    "component",
    "assignment_group",
)
_BODY_NAMES = ("body", "description", "text", "content", "post", "details", "selftext")
# Words that do not change what a column holds.
_FILLERS = frozenset(("text", "body", "content", "string", "str", "value", "full", "raw", "clean", "cleaned", "en"))
# Fields of a question or an answer that hold all of it.
_TURN_FIELDS = ("messages", "message", "content", "text", "value", "output", "input")
# Names for the one who asks and the one who answers, and for the two sides of a flash card.
_PEOPLE = (
    ("patient", "doctor"), ("customer", "agent"), ("client", "therapist"), ("student", "teacher"), ("student", "tutor"),
    ("user", "bot"), ("caller", "operator"), ("interviewer", "candidate"), ("customer", "support"),
    ("interviewer", "interviewee"), ("user", "system"), ("seeker", "supporter"), ("front", "back"),
    ("term", "definition"), ("word", "definition"), ("expression", "meaning"),
)  # fmt: skip

# The last words of the names of a case and of what came of it, as in the export of a helpdesk.
_CASES = (
    ("description", "resolution"), ("issue", "resolution"), ("problem", "resolution"), ("complaint", "resolution"),
    ("ticket", "resolution"), ("query", "resolution"), ("issue", "solution"), ("description", "solution"),
    ("error", "fix"), ("problem", "fix"), ("issue", "fix"), ("complaint", "response"), ("symptoms", "diagnosis"),
    ("symptoms", "treatment"), ("review", "reply"), ("email", "reply"),
    ("email", "response"), ("docstring", "code"), ("description", "code"), ("nl", "code"),
    ("question", "sql"), ("question", "cypher"), ("question", "sparql"), ("utterance", "sql"),
    ("nl", "sql"), ("nl", "bash"), ("question", "code"), ("symptom", "fix"), ("symptom", "cause"),
    ("symptom", "solution"), ("error", "solution"), ("error", "resolution"), ("diff", "subject"), ("patch", "subject"),
    ("description", "close_notes"), ("description", "resolution_notes"), ("description", "closure_notes"),
    ("hunk", "comment"), ("diff", "comment"), ("patch", "comment"), ("diff", "review"), ("patch", "review"),
    ("code", "review"), ("diff", "message"), ("patch", "message"), ("code", "docstring"), ("code", "comment"),
)  # fmt: skip


def propose_worded(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose columns that are a question and an answer by a word of their names, where no usual name is found."""
    texts = [name for name, column in found.items() if column.kind in ("prose", "short")]
    lists = [name for name in found if found[name].kind == "nested" and holds_one_text(rows, name)]
    # Argilla's answers are lists of texts, beside those of their users and states.
    lists += [name for name in found if found[name].kind == "nested" and name not in lists and _are_texts(rows, name)]
    lists = [name for name in lists if not _REMARK_WORDS & set(name_words(name))]
    if find_column(texts, names.PROMPT_NAMES) and find_column(texts, names.COMPLETION_NAMES):
        return
    asked = [name for name in texts if _is_worded(name, names.PROMPT_NAMES, _QUESTION_WORDS, _ANSWER_WORDS)]
    rests = set(map(_rest, asked))
    # Short answers that repeat look like categories; the name of their question shows that they are answers.
    repeated = [name for name, column in found.items() if column.kind == "category" and _rest(name) in rests - {()}]
    answers = [name for name in texts + lists + repeated if _is_answer(name)]
    answers = [name for name in answers if not is_wrong_name(name) and not has_no_answers(rows, name)]
    answers_of = {prompt: [answer for answer in answers if _rest(answer) == _rest(prompt)] for prompt in asked}
    others = [name for name in found if name not in (*asked, *answers) and not _is_beside(found[name])]
    # Where names agree in the rest, such as question_de and answer_de, the pair comes first.
    # Suggestions of a model come after the answers of people.
    for answer in sorted(answers, key=lambda n: (_is_suggestion(n), not any(n in own for own in answers_of.values()))):
        for prompt in sorted(asked, key=lambda name: not _is_plain(name, _QUESTION_WORDS)):
            if answers_of[prompt] and answer not in answers_of[prompt]:
                continue
            is_only = len(asked) == len(answers) == 1 and not others and answer not in lists
            is_sure = is_only and _is_plain(prompt, _QUESTION_WORDS) and _is_plain(answer, _ANSWER_WORDS)
            yield _pair(rows, found, prompt, answer, is_sure)
    for asking, answering in _CASES:
        prompt, answer = (_last_word(texts, word) for word in (asking, answering))
        if prompt and answer:
            yield _pair(rows, found, prompt, answer, is_sure=False)
    for asking, answering in _PEOPLE:
        prompt, answer = (find_column(texts, (word,)) for word in (asking, answering))
        if prompt and answer:
            yield _pair(rows, found, prompt, answer, is_sure=False)


def _last_word(texts: list[str], word: str) -> str | None:
    words = {name: name_words(name) for name in texts}
    last = {name: [one for one in words[name] if one not in _FILLERS] or words[name] or [""] for name in texts}
    named = [name for name in texts if f"_{'_'.join(last[name])}".endswith(f"_{word}")]
    # The shortest name is the plainest: description before short_description.
    return min(named, key=len, default=None)


def title_column(columns: Sequence[str], beside: Iterable[str]) -> str | None:
    """Return the column of titles; a tracker of issues calls the title a summary, which is no answer there.

    Args:
        columns: The columns to choose from.
        beside: All columns.
    """
    every = list(beside)
    is_tracker = find_column(every, _TRACKER_NAMES) and find_column(every, ("description", "details"))
    return find_column(columns, _TITLE_NAMES) or (
        find_column(columns, ("summary", "short_description")) if is_tracker else None
    )


def propose_titled(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose a title with its text as the question of an answer, as in a forum; always with doubt."""
    texts = [name for name, column in found.items() if column.kind in ("prose", "short")]
    title, body = title_column(texts, found), find_column(texts, _BODY_NAMES)
    answers = [name for name in texts if _is_answer(name) or "comment" in name_words(name)]
    answers += [name for name in texts if find_column([name], ("close_notes", "resolution_notes", "closure_notes"))]
    answers = [name for name in found if holds_rated_answers(rows, name)] + answers
    for answer in answers if title or body else []:
        if answer in (title, body):
            continue
        slots = {"instruction": title or body, "input": body if title else None, "output": answer}
        asked = " and ".join(repr(name) for name in (title, body) if name)
        doubt = f"{asked} may be the question and {answer!r} the answer"
        evidence = f"a question in {asked} and an answer in {answer!r}"
        yield make_proposal(found, "alpaca", slots, evidence, count_present(rows, *filter(None, slots.values())), doubt)


def _are_texts(rows: Rows, name: str) -> bool:
    """Return whether a column whose name ends with responses or the like holds lists of texts."""
    values = [nested(row[name]) for row in rows if name in row and not is_missing(row[name])]
    is_argilla = "." in name and name.rpartition(".")[2] in ("responses", "response", "answers", "suggestion")
    if not is_argilla and "summaries" not in name_words(name):
        return False
    return bool(values) and all(isinstance(value, list) and isinstance(value[0], str) for value in values if value)


def _rest(name: str) -> tuple[str, ...]:
    """Return the words of a name beside the one for a question or an answer: the language or the topic of a pair."""
    return tuple(word for word in name_words(name) if word not in _QUESTION_WORDS | _ANSWER_WORDS)


def _pair(rows: Rows, found: Columns, prompt: str, answer: str, is_sure: bool) -> Proposal:
    rest = [name for name in found if name not in (prompt, answer) and found[name].kind != "empty"]
    slots = {"prompt": prompt, "completion": answer, "system": find_column(rest, names.SYSTEM_NAMES)}
    context = find_column(rest, (*names.CONTEXT_NAMES, "paragraph", "article", "story"))
    slots |= {"context": context, "tools": find_column(rest, names.TOOL_NAMES)}
    doubt = "" if is_sure else f"{prompt!r} may be the question and {answer!r} the answer"
    evidence = f"a question in {prompt!r} and an answer in {answer!r}"
    return make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, prompt, answer), doubt)


def _is_suggestion(name: str) -> bool:
    return bool({"suggestion", "suggestions"} & set(name_words(name)))


def _is_beside(column: Column) -> bool:
    """Return whether a column says nothing about a question and its answer."""
    is_judgment = find_column([column.name], (*names.JUDGMENT_NAMES, *names.VERDICT_NAMES))
    return column.kind in ("id", "number", "constant", "empty") and not is_judgment


def is_path_of_question(name: str, names_beside: Iterable[str]) -> bool:
    """Return whether a column holds only the turns before the answer, which is in another: input.messages."""
    return (
        "." in name
        and _is_worded(name, names.PROMPT_NAMES, frozenset(), frozenset())
        and any("." in other and _is_answer(other) for other in names_beside)
    )


def _is_worded(name: str, usual: tuple[str, ...], words: frozenset[str], others: frozenset[str]) -> bool:
    found = set(name_words(name))
    if {"input", "output"} <= found:
        # The cases of a test, as in APPS.
        return False
    # The number of an item in a path, such as output.choices.0.message.content, distinguishes nothing.
    name = _ITEM.sub("", name)
    # Numbers distinguish several answers, except those in a sentence, such as "How do you answer it (2-3 sentences)?".
    if re.search(r"\d", name) and len(name_words(name)) < _MIN_SENTENCE_WORDS:
        return False
    # Logs of requests name a column by its path: input.messages, output.content.
    before, _, last = name.rpartition(".")
    if before and last in _TURN_FIELDS and find_column([before], usual):
        return True
    return find_column([name], usual) is not None or bool(found & words and not found & others)


def _is_answer(name: str) -> bool:
    return _is_worded(name, names.COMPLETION_NAMES, _ANSWER_WORDS, _QUESTION_WORDS)


def _is_plain(name: str, words: frozenset[str]) -> bool:
    """Return whether a name is one of the words, with fillers at most."""
    rest = [word for word in name_words(name) if word not in _FILLERS]
    return len(rest) == 1 and rest[0] in words
