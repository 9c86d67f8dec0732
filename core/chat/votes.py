"""Which answer people prefer: every vote on a line of its own, and what they add up to.

    votes/<base>.jsonl

A vote holds the question, all answers, who gave them in which order on the screen, and their settings.
"""

import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, Field, ValidationError

from core.chat.conversation import Answer
from core.data.formats import Message
from core.settings import Settings, inside, slug

Verdict = Literal["left", "right", "tie", "both bad"]
_Z = 1.959963984540054  # of the normal distribution, for 95 %


class Vote(BaseModel):
    """Attributes:
    turn: the id of the question's turn.
    messages: the conversation up to the question.
    answers: left and right, as they stood on the screen.
    blind: whether names were hidden.
    """

    time: float = Field(default_factory=time.time)
    chat: str
    turn: str = ""
    messages: list[dict[str, str]]
    answers: list[Answer] = Field(min_length=2, max_length=2)
    verdict: Verdict
    blind: bool = False

    @property
    def chosen(self) -> Answer | None:
        return {"left": self.answers[0], "right": self.answers[1]}.get(self.verdict)

    @property
    def rejected(self) -> Answer | None:
        return {"left": self.answers[1], "right": self.answers[0]}.get(self.verdict)


def contender_name(answer: Answer) -> str:
    """Who answered: "base", or the run and its adapter."""
    return f"{answer.run}/{answer.adapter}" if answer.run else "base"


def votes_path(settings: Settings, base: str) -> Path:
    folder = settings.home / "votes"
    folder.mkdir(exist_ok=True)
    return inside(folder, f"{slug(base, 'base')}.jsonl", "name of votes")


def add(path: Path, vote: Vote) -> None:
    """Append a vote; it is on disk when this returns."""
    with FileLock(f"{path}.lock"), path.open("ab") as stream:
        stream.write(vote.model_dump_json().encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def undo(path: Path, chat: str, turn: str) -> Vote | None:
    """Take the last vote on a chat's turn back; the vote, or None where there is none."""
    with FileLock(f"{path}.lock"):
        votes = read(path)
        last = next(
            (at for at in reversed(range(len(votes))) if (votes[at].chat, votes[at].turn) == (chat, turn)), None
        )
        if last is None:
            return None
        gone = votes.pop(last)
        scratch = path.with_suffix(".tmp")
        scratch.write_bytes(b"".join(vote.model_dump_json().encode() + b"\n" for vote in votes))
        os.replace(scratch, path)
    return gone


def read(path: Path) -> list[Vote]:
    """All votes; a line that is half written is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(Vote.model_validate_json(line))
        except ValidationError:
            continue
    return found


class Tally(BaseModel):
    """How one contender fared against another.

    Attributes:
        share: of the votes that chose one of the two, those for `first`; with the ends of its 95 % interval.
    """

    first: str
    second: str
    wins: int
    losses: int
    ties: int
    both_bad: int
    share: float
    low: float
    high: float


def tally(votes: Iterable[Vote]) -> list[Tally]:
    """One line a pair of contenders, the most voted first; the tuned one is named first where the base is the other."""
    pairs: dict[tuple[str, str], Counter] = {}
    for vote in votes:
        left, right = (contender_name(answer) for answer in vote.answers)
        if left == right:
            continue
        first, second = sorted((left, right), key=lambda name: (name == "base", name))
        winner = {"left": left, "right": right}.get(vote.verdict, vote.verdict)
        pairs.setdefault((first, second), Counter())[winner] += 1
    found = []
    for (first, second), counts in pairs.items():
        wins, losses = counts[first], counts[second]
        low, high = wilson(wins, wins + losses)
        share = wins / (wins + losses) if wins + losses else 0.5
        found.append(
            Tally(first=first, second=second, wins=wins, losses=losses, ties=counts["tie"],
                  both_bad=counts["both bad"], share=share, low=low, high=high)
        )  # fmt: skip
    return sorted(found, key=lambda one: -(one.wins + one.losses + one.ties + one.both_bad))


def wilson(wins: int, votes: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953); all of it without votes."""
    if not votes:
        return 0.0, 1.0
    share, square = wins / votes, _Z**2
    middle = (share + square / (2 * votes)) / (1 + square / votes)
    half = _Z / (1 + square / votes) * math.sqrt(share * (1 - share) / votes + square / (4 * votes**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def side_note(votes: Sequence[Vote]) -> str:
    """What is to be said where one side of the screen wins more than chance would have it (exact sign test, 5 %)."""
    counts = Counter(vote.verdict for vote in votes)
    left, right = counts["left"], counts["right"]
    total, most = left + right, max(left, right)
    chance = min(1.0, 2 * sum(math.comb(total, n) for n in range(most, total + 1)) / 2**total) if total else 1.0
    if chance >= 0.05:
        return ""
    side = "left" if left > right else "right"
    return (
        f"The {side} side won {most} of {total} votes, more than chance would have it (p = {chance:.3f}): vote blind, "
        "which shuffles the sides."
    )


def preferences(votes: Iterable[Vote]) -> list[dict[str, list[Message]]]:
    """Votes with a winner as a preference data set: prompt, chosen, rejected, each a list of messages (TRL's form)."""
    return [
        {
            "prompt": vote.messages,
            "chosen": [{"role": "assistant", "content": vote.chosen.text}],
            "rejected": [{"role": "assistant", "content": vote.rejected.text}],
        }
        for vote in votes
        if vote.chosen and vote.rejected
    ]


def as_jsonl(rows: Iterable[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
