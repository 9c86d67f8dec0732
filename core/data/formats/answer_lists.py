"""Several answers to one question as a list of objects, as in a forum: the accepted or best rated one is used."""

from collections.abc import Sequence
from typing import Any

from core.data.formats.columns import Row, find_column, name_words
from core.data.formats.conversation import usual_role
from core.data.formats.turns import CONTENT_KEYS, ROLE_KEYS, RoleOf
from core.data.formats.values import Note, is_empty_answer, is_missing

_TEXT_NAMES = ("text", "body", "answer", *CONTENT_KEYS, "response", "completion", "output", "generation")
_FLAG_NAMES = (
    "selected", "is_selected", "accepted", "is_accepted", "chosen", "best", "is_best", "is_correct", "correct",
)  # fmt: skip
# Places among the answers, of which the lowest is the best.
_RANK_NAMES = ("rank", "ranking", "overall_rank", "preference_rank")
_SCORE_NAMES = ("score", "pm_score", "votes", "upvotes", "up_votes", "rating", "points", "likes", "overall_score")

# Words of a column of answers.
_ANSWER_WORDS = frozenset(
    ("answer", "answers", "response", "responses", "reply", "replies", "completion", "completions", "output", "outputs",
     "generation", "generations", "candidates", "comment", "comments")
)  # fmt: skip


def is_answer_list(value: Any, role_of: RoleOf) -> bool:
    """Return whether a list holds answers to choose from: objects with a text and a flag or a score, and no turns."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return False
    roles = (item[key] for item in value for key in ROLE_KEYS if key in item)
    if any(role_of(str(role)) for role in roles):
        return False
    # The text of a removed comment may be empty.
    return any(map(_text_key, value)) and all(
        find_column(list(item), _FLAG_NAMES + _SCORE_NAMES + _RANK_NAMES) for item in value
    )


def holds_rated_answers(rows: Sequence[Row], name: str) -> bool:
    """Return whether a column that is named for answers holds several of them with their scores, as UltraFeedback's."""
    values = [row[name] for row in rows if name in row and not is_missing(row[name])]
    is_named = bool(_ANSWER_WORDS & set(name_words(name)))
    return is_named and bool(values) and all(is_answer_list(value, usual_role) for value in values)


def best_answer(value: list[dict[str, Any]], name: str, note: Note) -> str:
    """Return the text of the answer that is flagged, of the best rated or ranked one, or of the first.

    Args:
        value: The answers, of which `is_answer_list` is true.
        name: What holds them, in notes.
        note: Callback for one sentence about the choice.
    """
    wanted = (_FLAG_NAMES, _SCORE_NAMES, _RANK_NAMES)
    flag, score, rank = (find_column(list(value[0]), names) for names in wanted)
    texts = [item for item in value if _text_key(item)]
    filled = [item for item in texts if not is_empty_answer(item[_text_key(item)])] or texts
    flagged = [item for item in filled if flag and item.get(flag) in (True, 1, "true", "True", "1")]
    rated = [item for item in filled if score and _is_number(item.get(score))]
    ranked = [item for item in filled if rank and _is_number(item.get(rank))]
    if flagged:
        chosen, why = flagged[0], f"the one with {flag!r} is used"
    elif rated:
        chosen, why = max(rated, key=lambda item: item[score]), f"the one with the highest {score!r} is used"
    elif ranked:
        chosen, why = min(ranked, key=lambda item: item[rank]), f"the one with the lowest {rank!r} is used"
    else:
        chosen, why = filled[0], "the first is used"
    note(f"{name} is a list of answers; {why}, and nothing but its text")
    return str(chosen[_text_key(chosen)])


def _text_key(item: dict[str, Any]) -> str | None:
    key = find_column(list(item), _TEXT_NAMES)
    return key if key and isinstance(item[key], str) and not is_missing(item[key]) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
