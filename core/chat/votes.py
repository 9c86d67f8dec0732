"""Votes on pairs of answers: storage, results per pair of models, and export as preference data.

    votes/<base>.jsonl

One line per vote: the question, both answers in their order on the screen, who gave them, and their settings.
"""

import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from filelock import FileLock
from pydantic import BaseModel, Field, ValidationError

from core.chat.types import GenerationResult
from core.data.formats import Message
from core.settings import Settings, inside, slug

Verdict = Literal["left", "right", "tie", "both bad"]
# Quantile of the normal distribution for a two-sided interval of 95 %.
_Z95 = 1.959963984540054
_SIDE_SIGNIFICANCE = 0.05


class Vote(BaseModel):
    """One vote.

    Attributes:
        time: When, in seconds since the epoch.
        chat: Id of the conversation.
        turn: Id of the turn whose answers were compared.
        messages: The conversation up to the question, with the earlier answers of the left lane.
        right_messages: The same with those of the right lane; None in votes of versions that did not store them.
        answers: The left and the right answer as shown on the screen.
        blind: Whether the models' names were hidden.
    """

    time: float = Field(default_factory=time.time)
    chat: str
    turn: str = ""
    messages: list[dict[str, str]]
    right_messages: list[dict[str, str]] | None = None
    answers: list[GenerationResult] = Field(min_length=2, max_length=2)
    verdict: Verdict
    blind: bool = False

    @property
    def chosen(self) -> GenerationResult | None:
        """Return the better answer; None without a winner."""
        return {"left": self.answers[0], "right": self.answers[1]}.get(self.verdict)

    @property
    def rejected(self) -> GenerationResult | None:
        """Return the worse answer; None without a winner."""
        return {"left": self.answers[1], "right": self.answers[0]}.get(self.verdict)

    @property
    def prompt(self) -> list[Message] | None:
        """Return what both models answered, the system prompt first; None if it differed or is not known."""
        right = self.right_messages
        if right is None:
            # Only the first question has no earlier answers in which the lanes could differ.
            right = self.messages if len(self.messages) == 1 else None
        systems = [answer.settings.get("system", "").strip() for answer in self.answers]
        if self.messages != right or systems[0] != systems[1]:
            return None
        return [{"role": "system", "content": systems[0]}, *right] if systems[0] else right


class Tally(BaseModel):
    """Results of all votes between two models.

    Attributes:
        share: Wins of `first` among the votes with a winner.
        low: Lower end of the 95 % interval of `share`.
        high: Upper end of the interval.
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


def contender_name(answer: GenerationResult) -> str:
    """Return the name of an answer's model: "base", or "RUN/ADAPTER"."""
    return f"{answer.run}/{answer.adapter}" if answer.run else "base"


def votes_path(settings: Settings, base: str) -> Path:
    """Return the file of the votes on models of one base.

    Args:
        settings: The studio's settings.
        base: Label of the base model in the conversation.
    """
    folder = settings.home / "votes"
    folder.mkdir(exist_ok=True)
    return inside(folder, f"{slug(base, 'base')}.jsonl", "name of votes")


def add(path: Path, vote: Vote) -> None:
    """Append a vote; it is on disk when this returns."""
    with FileLock(f"{path}.lock"), path.open("ab+") as stream:
        # If a crash left half a line, end it, or it would swallow this vote.
        if stream.tell() and not _ends_with_newline(stream):
            stream.write(b"\n")
        stream.write(vote.model_dump_json().encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _ends_with_newline(stream: BinaryIO) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def undo(path: Path, chat: str, turn: str) -> Vote | None:
    """Remove the last vote on a turn, and return it; None if there is none."""
    with FileLock(f"{path}.lock"):
        votes = read(path)
        last = next(
            (at for at in reversed(range(len(votes))) if (votes[at].chat, votes[at].turn) == (chat, turn)), None
        )
        if last is None:
            return None
        removed = votes.pop(last)
        # Written beside the file and renamed, so that a crash leaves either all votes or all but the removed one.
        scratch = path.with_suffix(".tmp")
        scratch.write_bytes(b"".join(vote.model_dump_json().encode() + b"\n" for vote in votes))
        os.replace(scratch, path)
    return removed


def read(path: Path) -> list[Vote]:
    """Read all votes; a line that was half written by a crash is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(Vote.model_validate_json(line))
        except ValidationError:
            continue
    return found


def tally(votes: Iterable[Vote]) -> list[Tally]:
    """Count the results of each pair of models, most votes first; the base is always named second."""
    pairs: dict[tuple[str, str], Counter] = {}
    for vote in votes:
        left, right = (contender_name(answer) for answer in vote.answers)
        # Two answers of one model compare its settings or seeds, not models.
        if left == right:
            continue
        first, second = sorted((left, right), key=lambda name: (name == "base", name))
        winner = {"left": left, "right": right}.get(vote.verdict, vote.verdict)
        pairs.setdefault((first, second), Counter())[winner] += 1
    found = []
    for (first, second), counts in pairs.items():
        wins, losses = counts[first], counts[second]
        low, high = wilson_interval(wins, wins + losses)
        found.append(
            Tally(
                first=first,
                second=second,
                wins=wins,
                losses=losses,
                ties=counts["tie"],
                both_bad=counts["both bad"],
                share=wins / (wins + losses) if wins + losses else 0.5,
                low=low,
                high=high,
            )
        )
    return sorted(found, key=lambda one: -(one.wins + one.losses + one.ties + one.both_bad))


def wilson_interval(wins: int, votes: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Args:
        wins: Number of votes for one side.
        votes: Number of votes; without any, the interval is 0 to 1.
    """
    if not votes:
        return 0.0, 1.0
    share, square = wins / votes, _Z95**2
    middle = (share + square / (2 * votes)) / (1 + square / votes)
    half = _Z95 / (1 + square / votes) * math.sqrt(share * (1 - share) / votes + square / (4 * votes**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def side_note(votes: Sequence[Vote]) -> str:
    """Return a warning if one side of the screen wins more often than chance explains; empty otherwise.

    Exact two-sided sign test at 5 %.
    """
    counts = Counter(vote.verdict for vote in votes)
    left, right = counts["left"], counts["right"]
    total, most = left + right, max(left, right)
    tail = sum(math.comb(total, n) for n in range(most, total + 1))
    p_value = min(1.0, 2 * tail / 2**total) if total else 1.0
    if p_value >= _SIDE_SIGNIFICANCE:
        return ""
    side = "left" if left > right else "right"
    return (
        f"The {side} side won {most} of {total} votes, more than chance explains (p = {p_value:.3f}). Vote blind, "
        "which shuffles the sides."
    )


def preferences(votes: Iterable[Vote]) -> tuple[list[dict[str, list[Message]]], int]:
    """Return the votes with a winner as preference data in TRL's conversational format.

    Such data has one prompt for both answers, so votes on answers to different conversations are left out.

    Returns:
        Rows with "prompt", "chosen" and "rejected", each a list of messages; and the number of votes left out.
    """
    won = [vote for vote in votes if vote.chosen and vote.rejected]
    rows = [
        {
            "prompt": vote.prompt,
            "chosen": [{"role": "assistant", "content": vote.chosen.text}],
            "rejected": [{"role": "assistant", "content": vote.rejected.text}],
        }
        for vote in won
        if vote.prompt
    ]
    return rows, len(won) - len(rows)


def as_jsonl(rows: Iterable[dict]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
