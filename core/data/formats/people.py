"""Speakers of a list of turns without a usual role: people, or the sides of a helpdesk such as end-user and agent."""

from core.data.formats.conversation import Role, usual_role
from core.data.formats.proposal import Rows
from core.data.formats.sides import ANSWERING, ASKING
from core.data.formats.turns import has_usual_speaker, is_conversation, pair_keys, speaker_of
from core.data.formats.values import nested
from core.data.listing import list_some

_SHOWN = 4


def _speakers(rows: Rows, turns: str) -> list[str]:
    """Return the different speakers of the turns in a column, in their order."""
    lists = [nested(row[turns]) for row in rows if is_conversation(row.get(turns))]
    found = (speaker_of(turn) for one in lists for turn in one if isinstance(turn, dict) and not pair_keys(turn))
    return list(dict.fromkeys(name for name in found if name))


def _answers_user(rows: Rows, turns: str) -> bool:
    """Return whether the system speaks after the user in most conversations; a system prompt comes first."""
    lists = [nested(row[turns]) for row in rows if is_conversation(row.get(turns))]
    sides = [[usual_role(speaker_of(turn).strip()) for turn in one if isinstance(turn, dict)] for one in lists]
    return 2 * sum(one[:2] == ["user", "system"] for one in sides) > len(lists)


def people_roles(rows: Rows, turns: str) -> dict[str, Role]:
    """Return the likely role of each speaker without a usual one; empty unless there is one for each of them."""
    speakers = _speakers(rows, turns)
    usual = {usual_role(name.strip()) for name in speakers}
    if usual == {"user", "system"} and _answers_user(rows, turns):
        # Dialogue datasets such as MultiWOZ call the two sides user and system.
        return {name.lower(): "assistant" for name in speakers if usual_role(name.strip()) == "system"}
    roles: dict[str, Role] = {}
    for name in speakers:
        word = name.strip().lower()
        if usual_role(word) is None:
            if word not in ASKING | ANSWERING:
                return {}
            roles[name.lower()] = "user" if word in ASKING else "assistant"
    sides = {roles.get(name.lower()) or usual_role(name.strip()) for name in speakers}
    return roles if {"user", "assistant"} <= sides else {}


def _likely_side(name: str, index: int) -> Role:
    """Return the likely role of a speaker by the word for it, or by its order."""
    word = name.strip().lower()
    if word in ANSWERING:
        return "assistant"
    return "user" if word in ASKING or not index else "assistant"


def people_doubt(rows: Rows, turns: str, roles: dict[str, Role]) -> str:
    """Return the doubt that the speakers of a list of turns are people, as in the export of a chat; "" if not.

    Args:
        rows: The rows.
        turns: The column of the turns.
        roles: The result of `people_roles`.
    """
    if roles:
        lines = ", ".join(f"{name} = {role}" for name, role in roles.items())
        return f"the speakers in {turns!r} have no usual roles; in the export of a helpdesk, the roles are {lines}"
    if has_usual_speaker(rows, turns):
        return ""
    people = _speakers(rows, turns)
    sides = [_likely_side(name, index) for index, name in enumerate(people[:2])]
    lines = ", ".join(f"{name} = {side}" for name, side in zip(people, sides, strict=False))
    shown = list_some(map(repr, people), _SHOWN)
    return (
        f"the speakers in {turns!r} have no usual roles ({shown}), as in the export of a chat; write one conversation "
        f"per row and name each role under Roles, such as {lines}, or take the first speaker of each for the user"
    )
