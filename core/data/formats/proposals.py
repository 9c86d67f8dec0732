"""Proposals of readings with trees, preference pairs, lists of turns, or question and answer.

`proposals` yields all proposals of the detection, the most specific first; those of a single text column are in
`text_proposals`. Order matters: `detect` takes the first one that is certain, fits most rows and gives a usable row.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from core.data.formats import columns as names
from core.data.formats.answer_choice import are_flags
from core.data.formats.answer_doubts import REFERENCE_NAMES, other_answers, rank_doubt
from core.data.formats.answer_lists import holds_rated_answers
from core.data.formats.attribute_proposals import propose_described, propose_in_order
from core.data.formats.choice_proposals import choices_doubt, propose_choices, propose_inner_choices
from core.data.formats.columns import find_column
from core.data.formats.context_columns import with_and_without_context
from core.data.formats.doubts import (
    constant_as_system,
    message_doubt,
    message_list_doubt,
    second_question,
)
from core.data.formats.empty_answers import has_no_answers, is_wrong_name
from core.data.formats.envelopes import find_text, holds_answer
from core.data.formats.flag_labels import propose_flags
from core.data.formats.labeled_pairs import propose_labeled_pairs
from core.data.formats.list_proposals import paired_doubt, propose_lists, propose_paired, propose_steps
from core.data.formats.object_fields import (
    annotated_texts,
    common_fields,
    field_pairs,
    is_object,
    object_doubt,
    text_field,
    unfolded,
)
from core.data.formats.options import FormatName
from core.data.formats.pair_names import is_negative, propose_named_pairs
from core.data.formats.preference_proposals import are_two_answers, propose_preference
from core.data.formats.proposal import (
    QUESTION_NAMES,
    Columns,
    Proposal,
    Rows,
    columns_beside,
    count_filled,
    count_present,
    make_proposal,
)
from core.data.formats.question_columns import INSTRUCTION_NAMES, asks, longest_text, only_text
from core.data.formats.rated_proposals import offer_rated, offer_right, verdict_column
from core.data.formats.reading import get_format
from core.data.formats.reasoning_columns import is_reasoning_name, offer_reasoning, reasoning_columns
from core.data.formats.row_doubts import question_part_doubt, row_doubt, taken_columns
from core.data.formats.speaker_proposals import propose_transcripts, propose_unnamed
from core.data.formats.text_proposals import propose_labeled, propose_marked, propose_plain
from core.data.formats.turn_proposals import propose_trees, propose_turns
from core.data.formats.turns import is_conversation, is_turn
from core.data.formats.values import is_missing, nested
from core.data.formats.verdicts import verdict_doubt
from core.data.formats.worded_pairs import propose_titled, propose_worded, title_column
from core.data.listing import list_some

_INPUT_NAMES = ("input", "inputs", *names.CONTEXT_NAMES)
# Minimum number of words of the longest question, where questions repeat.
_QUESTION_WORDS = 3
_SHOWN_FIELDS = 4
_KIND_WORDS = {"id": "ids", "constant": "one value", "number": "numbers", "category": "categories"}


def proposals(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Yield the readings that could fit `rows`, whose columns are `found`.

    The doubts that columns beside any reading raise are added here, so that no proposal can forget them.
    """
    paired = [proposal for proposal in propose_paired(rows, found) if proposal.reading.format == "paired"]
    choices = list(propose_choices(rows, found))
    for proposal in _all_proposals(rows, found, choices):
        doubts = dict.fromkeys(
            (
                proposal.doubt,
                paired_doubt(rows, paired, proposal),
                choices_doubt(choices, proposal),
                row_doubt(rows, found, proposal.reading),
            )
        )
        proposal = replace(proposal, doubt="; ".join(doubt for doubt in doubts if doubt))
        for one in (*offer_right(rows, found, proposal), *offer_rated(rows, found, proposal), proposal):
            has_answers = one.reading.format != "text"
            taken = taken_columns(rows, one.reading).values()
            yield from offer_reasoning(one, reasoning_columns(rows, found, taken) if has_answers else [])


def _all_proposals(rows: Rows, found: Columns, choices: list[Proposal]) -> Iterator[Proposal]:
    """Yield the proposals of all kinds, the most specific first, without the doubts of the columns beside them."""
    for propose in (
        propose_trees,
        lambda rows, found: choices,
        propose_inner_choices,
        propose_preference,
        propose_turns,
        propose_paired,
        _pairs,
        _fields,
        _annotated,
        propose_steps,
        propose_worded,
        propose_titled,
        propose_unnamed,
        propose_marked,
        propose_transcripts,
        propose_labeled_pairs,
        propose_described,
        propose_named_pairs,
        propose_labeled,
        propose_flags,
        propose_plain,
        propose_in_order,
        _two_texts,
        propose_lists,
    ):
        yield from propose(rows, found)


def _kind_doubt(rows: Rows, found: Columns, prompt: str, answer: str) -> str:
    """Return why two columns are hardly a question and an answer by their values; "" where they may be."""
    kind = found[prompt].kind
    few_words = all(len(str(value).split()) < _QUESTION_WORDS for value in _present(rows, prompt))
    if kind in ("id", "number") or (kind in ("constant", "category") and few_words):
        return f"{prompt!r} holds {_KIND_WORDS[kind]}, which are hardly questions"
    return object_doubt(rows, found, prompt, answer)


def _present(rows: Rows, name: str) -> list[Any]:
    return [row[name] for row in rows if name in row and not is_missing(row[name])]


def _answers(rows: Rows, found: Columns) -> list[str]:
    """Return the columns that may hold the answers, the likeliest first."""
    filled = [name for name, column in found.items() if column.kind != "empty"]
    title = title_column(filled, filled)
    answers = [name for want in names.COMPLETION_NAMES if (name := find_column(filled, (want,)))]
    answers = [name for name in answers if name != title]
    answers += [other for name in answers for other in other_answers(rows, found, name)]
    # The comments of a post with a title are read by `propose_titled`.
    if not title:
        answers += [name for name in filled if holds_rated_answers(rows, name)]
    return answers


def _pairs(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose a question and an answer in columns of their own, with the columns of context and system prompt."""
    answers = _answers(rows, found)
    yield from _referenced(rows, found, answers)
    for answer in dict.fromkeys(answers):
        if is_wrong_name(answer) or has_no_answers(rows, answer):
            continue
        rest = [name for name in found if name != answer]
        others = other_answers(rows, found, answer)
        instruction = find_column(rest, INSTRUCTION_NAMES)
        turns = find_column([name for name in rest if _are_turns(rows, name)], names.PROMPT_NAMES)
        if turns and instruction and instruction != turns:
            # A request to a model: the turns are the question, and the instructions its system prompt.
            yield _request(rows, found, instruction, turns, answer)
            continue
        prompt = instruction or find_column(rest, names.PROMPT_NAMES) or only_text(found, answer)
        longest = None if prompt else longest_text(found, answer)
        prompt = prompt or longest
        if prompt is None or prompt == answer:
            continue
        doubts = [
            f"{longest!r} may be the text of which {answer!r} is the answer" if longest else "",
            f"both {answer!r} and {others[0]!r} may hold the answer" if others else "",
            "" if asks(prompt, answer) else verdict_doubt(rows, answer) or f"{prompt!r} may be the question",
            _kind_doubt(rows, found, prompt, answer),
            rank_doubt(rows, found, answer),
        ]
        doubt = next((doubt for doubt in doubts if doubt), "")
        if (other := second_question(rows, found, prompt, answer)) and found[prompt].kind == "constant":
            yield constant_as_system(rows, found, prompt, other, answer)
        is_alpaca = instruction is not None
        yield from _common(rows, prompt, answer, is_alpaca)
        if fields := _text_of_objects(rows, found, prompt, answer):
            yield _pair(*unfolded(rows, fields), *fields, is_instruction=is_alpaca, doubt=doubt, other=other)
        pair = _pair(rows, found, prompt, answer, is_instruction=is_alpaca, doubt=doubt, other=other)
        yield from with_and_without_context(rows, found, pair)


def _are_turns(rows: Rows, name: str) -> bool:
    filled = count_filled(rows, name, lambda value: True)
    return bool(filled) and 2 * count_filled(rows, name, is_conversation) > filled


def _request(rows: Rows, found: Columns, instruction: str, turns: str, answer: str) -> Proposal:
    rest = [name for name in found if name not in (instruction, turns, answer)]
    slots = {"prompt": turns, "completion": answer, "system": instruction, "tools": find_column(rest, names.TOOL_NAMES)}
    evidence = f"turns in {turns!r}, the system prompt in {instruction!r} and the answer in {answer!r}"
    return make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, turns, answer))


def _referenced(rows: Rows, found: Columns, answers: list[str]) -> Iterator[Proposal]:
    """Propose a reference as the answer to a question or to turns that end with one, always with doubt."""
    prompt = find_column(list(found), names.PROMPT_NAMES)
    turns = 2 * count_filled(rows, prompt, is_conversation) > len(rows) if prompt else False
    if answers or not prompt or not (turns or found[prompt].kind in ("prose", "short")):
        return
    for answer in found:
        if find_column([answer], REFERENCE_NAMES) and found[answer].kind != "empty":
            doubt = f"{answer!r} may be the answer to the {'turns' if turns else 'texts'} in {prompt!r}"
            yield _pair(rows, found, prompt, answer, is_instruction=False, doubt=doubt)


def _common(rows: Rows, prompt: str, answer: str, is_instruction: bool) -> Iterator[Proposal]:
    """Propose each field that the objects of a question and an answer share, such as a language, always with doubt."""
    fields = common_fields(rows, prompt, answer)
    doubt = (
        f"{prompt!r} and {answer!r} hold objects with the fields {list_some(map(repr, fields), _SHOWN_FIELDS)}, of "
        "which a reading uses one; to train on all, write a row for each"
    )
    for field in fields:
        pair = (f"{prompt}.{field}", f"{answer}.{field}")
        yield _pair(*unfolded(rows, pair), *pair, is_instruction=is_instruction, doubt=doubt)


def _text_of_objects(rows: Rows, found: Columns, prompt: str, answer: str) -> tuple[str, str] | None:
    """Return a question and an answer with the field of text in place of each object; None without such a field."""
    columns = []
    for name in (prompt, answer):
        field = text_field(rows, name) if is_object(rows, found, name, None if name == prompt else prompt) else None
        is_certain = all(find_text(nested(value)) for value in _present(rows, name))
        columns.append(name if field is None or is_certain else f"{name}.{field}")
    return (columns[0], columns[1]) if columns != [prompt, answer] else None


def _two_texts(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the only two columns of text as a question and its answer, always with doubt."""
    # The name and the type of a list of turns are no question and answer.
    has_turns = any(count_filled(rows, name, is_conversation) for name in found)
    if has_turns or message_list_doubt(rows, found) or message_doubt(rows, found):
        return
    texts = [n for n, column in found.items() if column.kind in ("prose", "short") and not is_reasoning_name(n)]
    # Flags in a text cell are not read as a list.
    texts = [name for name in texts if not count_filled(rows, name, are_flags)]
    if len(texts) < 2:
        lists = [name for name in found if found[name].kind == "nested" and holds_answer(rows, name)]
        texts = sorted(texts + lists, key=list(found).index)
    texts = [name for name in texts if not is_negative(name, found) and not find_column([name], names.CHOSEN_NAMES)]
    # Answers to the same question, such as answer_0 and answer_1, are no question and answer.
    if len(texts) == 2 and not are_two_answers(*texts):
        doubt = f"{texts[0]!r} and {texts[1]!r} may be a question and its answer"
        if asks(texts[0], texts[1]) or not find_column(texts[1:], QUESTION_NAMES):
            yield _pair(rows, found, texts[0], texts[1], is_instruction=False, doubt=doubt)
        if asks(texts[0], texts[1]) == asks(texts[1], texts[0]):
            # Either may be the question: a text in two languages, for example, or a question and its query in SQL.
            yield _pair(rows, found, texts[1], texts[0], is_instruction=False, doubt=doubt)


def _fields(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose two texts in the objects of one column, such as a sentence in two languages, always with doubt."""
    for name, *fields in field_pairs(rows, found):
        question, answer = (f"{name}.{field}" for field in fields)
        if asks(fields[1], fields[0]) or any(count_filled(rows, name, test) for test in (is_turn, is_conversation)):
            continue
        doubt = f"the fields {fields[0]!r} and {fields[1]!r} of {name!r} may be a question and its answer"
        yield _pair(*unfolded(rows, (question, answer)), question, answer, is_instruction=False, doubt=doubt)


def _annotated(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose a field of an object and the text of an annotation as question and answer, always with doubt."""
    for question, answer in annotated_texts(rows, found):
        doubt = f"{question!r} may be the question and the text in {answer!r} the answer"
        yield _pair(*unfolded(rows, (question,)), question, answer, is_instruction=False, doubt=doubt)


def _pair(
    rows: Rows, found: Columns, prompt: str, answer: str, is_instruction: bool, doubt: str, other: str | None = None
) -> Proposal:
    beside = columns_beside(found, {prompt, answer})
    if is_instruction:
        rest = [name for name in found if name not in {prompt, answer, beside["system"], beside["tools"]}]
        given = find_column(rest, _INPUT_NAMES) or other
        slots = {"instruction": prompt, "input": given, "output": answer, "history": find_column(rest, ("history",)),
                 "system": beside["system"], "tools": beside["tools"]}  # fmt: skip
        form: FormatName = "alpaca"
    else:
        slots, form = {"prompt": prompt, "completion": answer, **beside}, "prompt_completion"
        slots["context"] = slots["context"] or other
    words = ", ".join(f"{slot} = {name!r}" for slot, name in slots.items() if name)
    verdict = verdict_column(rows, found) if form == "prompt_completion" else None
    doubt = doubt or (f"both {prompt!r} and {other!r} may be the question" if other else "")
    doubt = doubt or question_part_doubt(rows, found, slots.values(), answer)
    if verdict and verdict not in (prompt, answer):
        evidence = f"a question, an answer and a flag in {verdict!r}; answers flagged as bad are left out"
        slots |= {"label": verdict}
        return make_proposal(found, "rated", slots, evidence, count_present(rows, prompt, answer), doubt)
    return make_proposal(
        found, form, slots, f"{get_format(form).sign} ({words})", count_present(rows, prompt, answer), doubt
    )
