"""Blind votes of people in the Chat tab on the prompts and models of an evaluation."""

from core.chat import votes
from core.chat.turns import BASE
from core.evaluate.config import parse_lane
from core.evaluate.judge.judging import Pair
from core.evaluate.judge.pairwise import Preference
from core.evaluate.store import Evaluation, EvaluationStore


def blind_votes(store: EvaluationStore, evaluation: Evaluation, pair: Pair) -> dict[int, Preference]:
    """Return what people preferred, by prompt; of several votes on a prompt the last one counts.

    A vote belongs to a prompt if its conversation is the same and its two answers are of the pair's models. "Both bad"
    is a tie. The voters may have seen other answers of these models than the evaluation has, as sampling differs.

    Args:
        store: The evaluations.
        evaluation: The evaluation.
        pair: The lanes.
    """
    names = [_contender(evaluation.config().lanes[lane]) for lane in (pair.first, pair.second)]
    by_conversation = {}
    for path in sorted((store.settings.home / "votes").glob("*.jsonl")):
        for vote in votes.read(path):
            shown = [votes.contender_name(answer) for answer in vote.answers]
            if vote.blind and vote.prompt is not None and sorted(shown) == sorted(names):
                by_conversation[_key(vote.prompt)] = _preference(vote, names)
    found = {}
    for index, prompt in enumerate(evaluation.prompts()) if by_conversation else ():
        if (key := _key(prompt.messages)) in by_conversation:
            found[index] = by_conversation[key]
    return found


def _contender(lane: str) -> str:
    run, adapter = parse_lane(lane)
    return f"{run}/{adapter}" if run else BASE


def _key(messages: list[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((turn["role"], turn["content"].strip()) for turn in messages)


def _preference(vote: votes.Vote, names: list[str]) -> Preference:
    if vote.chosen is None:
        return "tie"
    return "first" if votes.contender_name(vote.chosen) == names[0] else "second"
