"""Votes on pairs of answers: storage, results per pair of models, and export as preference data.

    votes/<base>.jsonl

One line per vote: the question, both answers in their order on the screen, who gave them, and their settings. A vote
that was undone is a line of spaces.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Self

from filelock import FileLock
from pydantic import BaseModel, Field, ValidationError

from core.chat.types import GenerationResult
from core.chat.vote_statistics import sign_test, wilson_interval
from core.data.formats import Message
from core.settings import Settings, inside, slug
from core.system.files import replacing

Verdict = Literal["left", "right", "tie", "both bad"]
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


def contender_name(answer: GenerationResult) -> str:
    """Return the name of an answer's model: "base", or "RUN/ADAPTER"."""
    return f"{answer.run}/{answer.adapter}" if answer.run else "base"


class Ballot(NamedTuple):
    """Models and verdict of a vote, so that equal ones are counted instead of kept.

    Attributes:
        left: Name of the model on the left of the screen.
        right: Name of the model on the right.
        runs: The runs of both; empty for the base.
    """

    left: str
    right: str
    runs: tuple[str, str]
    verdict: Verdict

    @classmethod
    def of(cls, vote: Vote) -> Self:
        """Return the ballot of a vote."""
        left, right = vote.answers
        return cls(contender_name(left), contender_name(right), (left.run, right.run), vote.verdict)


class Tally(BaseModel):
    """Results of all votes between two models.

    Attributes:
        first: Name of one model.
        second: Name of the other one; the base is always second.
        wins: Number of votes for `first`.
        losses: Number of votes for `second`.
        ties: Number of votes for neither, with two good answers.
        both_bad: Number of votes for neither, with two bad answers.
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


def blank_line(path: Path, start: int, size: int) -> Vote | None:
    """Overwrite a vote with spaces, and return it; None if there is none at that position.

    The rest of the file, which may be long, is neither read nor written. If a crash leaves half of the line, readers
    leave it out.

    Args:
        path: The file.
        start: Where the vote's line starts, in bytes.
        size: Length of the line with its end, in bytes.
    """
    with FileLock(f"{path}.lock"), path.open("rb+") as stream:
        stream.seek(start)
        line = stream.read(size)
        if found := parse_line(line):
            stream.seek(start)
            stream.write(b" " * len(line.rstrip(b"\n")))
            stream.flush()
            os.fsync(stream.fileno())
        return found


def remove_lines(path: Path, starts: Container[int]) -> None:
    """Remove the votes whose lines start at these positions, in bytes, and blank lines."""
    with FileLock(f"{path}.lock"):
        kept, position = [], 0
        for line in _read_lines(path):
            if position not in starts and line.strip():
                kept.append(line)
            position += len(line)
        _replace_lines(path, kept)


def _read_lines(path: Path) -> list[bytes]:
    with path.open("rb") as stream:
        return stream.readlines()


def _replace_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Replace a file as a whole, so that a crash leaves either all votes or all but the removed ones."""
    with replacing(path) as temporary:
        temporary.write_bytes(b"".join(lines))


def read(path: Path) -> list[Vote]:
    """Read all votes; a line that was half written by a crash is left out."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [vote for vote in map(parse_line, lines) if vote]


def parse_line(line: bytes) -> Vote | None:
    """Return the vote of one line; None if it is damaged."""
    try:
        return Vote.model_validate_json(line)
    except ValidationError:
        return None


def tally(votes: Iterable[Vote]) -> list[Tally]:
    """Count the results of each pair of models, most votes first; the base is always named second."""
    return tally_ballots(Counter(map(Ballot.of, votes)))


def tally_ballots(ballots: Mapping[Ballot, int]) -> list[Tally]:
    """Return what `tally` returns, from the number of each ballot."""
    pairs: dict[tuple[str, str], Counter] = {}
    for ballot, count in ballots.items():
        # Two answers of one model compare its settings or seeds, not models.
        if ballot.left == ballot.right:
            continue
        first, second = sorted((ballot.left, ballot.right), key=lambda name: (name == "base", name))
        winner = {"left": ballot.left, "right": ballot.right}.get(ballot.verdict, ballot.verdict)
        pairs.setdefault((first, second), Counter())[winner] += count
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


def side_note(votes: Iterable[Vote]) -> str:
    """Return a warning if one side of the screen wins more often than chance explains; empty otherwise."""
    return side_note_of(Counter(vote.verdict for vote in votes))


def side_note_of(verdicts: Mapping[str, int]) -> str:
    """Return what `side_note` returns, from the number of each verdict."""
    left, right = verdicts.get("left", 0), verdicts.get("right", 0)
    total, most = left + right, max(left, right)
    p_value = sign_test(most, total)
    if p_value >= _SIDE_SIGNIFICANCE:
        return ""
    side = "left" if left > right else "right"
    return (
        f"The {side} side won {most:,} of {total:,} votes, more than chance explains (p = {p_value:.3f}). Vote blind, "
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
