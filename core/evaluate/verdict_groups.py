"""The verdict by group, such as language or label, corrected for looking at many groups."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from core.evaluate.metrics import Metric
from core.evaluate.statistics.hypothesis_tests import holm
from core.evaluate.statistics.paired import MIN_CLUSTERS, PairedDifference, PairedScores, compare
from core.evaluate.statistics.power import LEVEL
from core.evaluate.verdict_text import describe_outcome, format_p_value

# The largest groups of a grouping are listed; a column of identifiers would have one group per row.
MAX_GROUPS = 1000
NO_LABEL = "(none)"


@dataclass(frozen=True)
class GroupDifference:
    """The verdict for the prompts of one group.

    Attributes:
        grouping: What the prompts are grouped by, such as "language".
        label: Which group this is.
        difference: The difference within the group.
        adjusted_p: The p-value by Holm's correction over all tested groups; NaN if the group was not tested.
        outcome: "better", "worse", "unclear" or "too small", by the corrected p-value.
        sentence: The same as a sentence.
        prompts: Indices of the group's prompts.
    """

    grouping: str
    label: str
    difference: PairedDifference
    adjusted_p: float
    outcome: str
    sentence: str
    prompts: np.ndarray


def compare_groups(
    metric: Metric, scores: PairedScores, groupings: Mapping[str, np.ndarray], seed: int
) -> tuple[list[GroupDifference], list[str]]:
    """Compare two lanes within each group.

    Args:
        metric: The metric.
        scores: Its scores, with one row per prompt.
        groupings: Label of each prompt, (prompts,), by the name of the grouping.
        seed: Seed of the bootstrap.

    Returns:
        The groups, by grouping and from the largest to the smallest, and sentences about the correction.
    """
    groups, notes = [], []
    for grouping, labels in groupings.items():
        found = _split(labels)
        if len(found) < 2:
            # The only group is the whole set.
            continue
        if len(found) > MAX_GROUPS:
            notes.append(f"{grouping} has {len(found):,} groups; the {MAX_GROUPS:,} largest are listed.")
        for label, prompts in found[:MAX_GROUPS]:
            difference = compare(scores.select(prompts), seed=seed)
            groups.append(GroupDifference(grouping, label, difference, np.nan, "", "", prompts))
    adjusted = holm([group.difference.p_value for group in groups])
    judged = [_judge(metric, replace(group, adjusted_p=p)) for group, p in zip(groups, adjusted, strict=True)]
    return judged, notes + _describe_correction(judged)


def _split(labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return each label with the indices of its prompts, the largest group first."""
    names = np.array([NO_LABEL if label is None or label == "" else str(label) for label in labels], dtype=object)
    unique, numbers = np.unique(names.astype(str), return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(numbers, minlength=len(unique)))[:-1]) if len(order) else []
    return sorted(zip(unique.tolist(), parts, strict=True), key=lambda pair: -len(pair[1]))


def _judge(metric: Metric, group: GroupDifference) -> GroupDifference:
    """Return a group with its outcome and sentence."""
    found = group.difference
    if found.problem in ("no rows", "few clusters", "uneven clusters"):
        outcome = "too small"
        text = describe_outcome(metric, found, "unclear")
    else:
        is_certain = group.adjusted_p <= 1 - found.confidence
        outcome = outcome_of(metric, found) if is_certain else "unclear"
        text = describe_outcome(metric, found, outcome)
        if not np.isnan(group.adjusted_p):
            text += f" Corrected p: {format_p_value(group.adjusted_p)}."
    return replace(group, outcome=outcome, sentence=text)


def outcome_of(metric: Metric, found: PairedDifference) -> str:
    """Return "better", "worse" or "unclear" for a difference, without any correction."""
    if not found.direction or metric.better == "neither":
        return "unclear"
    return "better" if (found.direction > 0) == (metric.better == "higher") else "worse"


def _describe_correction(groups: list[GroupDifference]) -> list[str]:
    """Return how many groups were tested together, and how many were too small."""
    small = sum(group.outcome == "too small" for group in groups)
    tested = sum(not np.isnan(group.adjusted_p) for group in groups)
    notes = []
    if tested:
        notes.append(
            f"The p-values of groups are corrected for {tested:,} tested group{'s' * (tested != 1)} of all groupings "
            f"(Holm): the chance is at most {LEVEL:.0%} that any group without a difference is called better or worse."
        )
    if small:
        notes.append(f"Not tested: {small:,} group{'s' * (small != 1)} with fewer than {MIN_CLUSTERS} conversations "
                     "with values, or with most of the rows in a few conversations.")  # fmt: skip
    return notes
