"""Comparability of held-out losses: they say which run is better only if they were measured in the same way."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.runs.config import QLoRAConfig
from core.runs.events import PreparedEvent
from core.runs.store import Run


@dataclass(frozen=True)
class HeldOutSetup:
    """Settings and rows that a held-out loss was computed with; losses of other ones cannot be compared.

    Attributes:
        max_length: Tokens after which a row is truncated.
        template: The chat template.
        answers_only: Whether only the tokens of answers count.
        rows: Identifies the held-out rows.
        tokenizer: Identifies the tokens of the rows; two models may share a tokenizer.
        task: What is measured: the loss of the answers' tokens, or of the labels.
    """

    max_length: int
    template: str
    answers_only: bool
    rows: str
    tokenizer: str
    task: str = "generate"


def held_out_setup_of(run: Run, config: QLoRAConfig, prepared: PreparedEvent | None) -> HeldOutSetup:
    """Return the settings and rows that the held-out loss of a run is computed with.

    Args:
        run: The run.
        config: Its settings.
        prepared: Its event of that name; None before that.
    """
    # The same rows have the same number of tokens in one epoch only if the tokenizer is the same.
    tokenizer = f"{prepared.rows} {prepared.tokens}" if prepared else ""
    template = prepared.template if prepared else config.chat_template
    # A classifier chooses from other labels if spellings are kept apart.
    task = config.task if config.task == "generate" or config.merge_labels else f"{config.task} with all spellings"
    return HeldOutSetup(config.max_length, template, config.answers_only, _rows(run, config), tokenizer, task)


def _rows(run: Run, config: QLoRAConfig) -> str:
    subset = run.subset()
    if subset is None:
        return config.subset
    if subset.held_out:
        # Other training rows do not change the loss of the held-out ones. Earlier versions stored no hash of these
        # alone, so there only the same recipe is sure to have the same held-out rows.
        rows = subset.held_out_sha256 or f"{subset.recipe.model_dump_json()} {subset.held_out}"
        return f"{rows} {min(config.eval_rows, subset.held_out)}"
    # The run itself holds rows out of those that it would train on.
    return f"{subset.sha256} {config.held_out_share} {config.seed} {config.eval_rows}"


def why_not_comparable(one: HeldOutSetup, other: HeldOutSetup) -> str:
    """Return how the held-out loss of one run was measured differently from that of another; empty if it was not."""
    if one.task != other.task:
        return f"the task {one.task} instead of {other.task}"
    found = []
    if one.max_length != other.max_length:
        found.append(f"maximum length {one.max_length:,} instead of {other.max_length:,}")
    if one.template != other.template:
        found.append("another chat template")
    if one.answers_only != other.answers_only:
        found.append("loss on answers only" if one.answers_only else "loss on all text")
    if one.rows != other.rows:
        found.append("other held-out rows")
    # Other settings change the number of tokens, too.
    elif not found and one.tokenizer and other.tokenizer and one.tokenizer != other.tokenizer:
        found.append("another tokenizer")
    return ", ".join(found)


def reference_of(setups: Sequence[HeldOutSetup | None]) -> HeldOutSetup | None:
    """Return the most common setup, the first of them if several are as common; None if there is none."""
    counted = Counter(setup for setup in setups if setup)
    return counted.most_common(1)[0][0] if counted else None
