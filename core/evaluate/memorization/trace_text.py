"""Sentences about traced answers: the share that each model has copied from the training rows."""

from collections.abc import Sequence

from core.evaluate.memorization.spans import MIN_TOKENS
from core.evaluate.memorization.tracing import COPIED, Traces
from core.evaluate.verdict_text import describe_beside, describe_size
from core.system.counting import counted


def describe_copying(traces: Traces, titles: Sequence[str], first: int, second: int) -> str:
    """Return how much of their answers two models have copied, with the interval of the difference.

    Args:
        traces: The traced answers.
        titles: Titles of the lanes.
        first: The lane that is compared with.
        second: The lane that is judged.
    """
    found = traces.compare(first, second)
    searched = (
        f"Searched: spans of {MIN_TOKENS} tokens or more, in {counted(traces.about.rows, 'training row')} of the "
        f"subset {traces.about.subset}."
    )
    if found.problem == "no rows":
        return f"No prompt has a traced answer of both models. {searched}"
    if not found.first_mean and not found.second_mean:
        return f"No answer has copied from the training rows ({describe_size(found)}). {searched}"
    return f"From {titles[first]} to {titles[second]}: {_lower(describe_beside(COPIED, found))} {searched}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
