"""Preflight checks of a run that trains a classifier: labels, length of texts, and settings that have no effect."""

from typing import Any

from core.data.labels import LabeledText, describe
from core.data.table import TRAIN
from core.errors import StudioError
from core.models.catalogue import Model
from core.models.classifier import encode_text
from core.runs.classifier import LabeledSubset
from core.runs.config import TITLES, QLoRAConfig, applies, without_effect
from core.runs.findings import Finding
from core.runs.holdout import hold_out
from core.runs.names import format_value
from core.settings import Settings
from core.system.counting import counted

# Texts that are tokenized to check the maximum length.
_CHECKED_TEXTS = 400
_SHOWN = 4
_FORECAST_LIMITS = (
    "The memory forecast is that of a model of this size that generates text: it leaves out the classifier's head, and "
    "counts more than BERT's blocks take. The dry run measures both."
)


def findings(settings: Settings, model: Model, config: QLoRAConfig, rows: dict[str, list]) -> list[Finding]:
    """Return what would go wrong with the labels, the texts or the settings of a classifier's run.

    Args:
        settings: The studio's settings.
        model: The base model.
        config: The run.
        rows: Conversations by split; they are not changed.
    """
    found = [*_without_effect(config), Finding("fine", _FORECAST_LIMITS)]
    rows = dict(rows)
    hold_out(config, rows)
    try:
        data = LabeledSubset(settings, config, rows)
    except StudioError as error:
        return [Finding("problem", str(error), ("task", "subset")), *found]
    total = len(rows[TRAIN])
    found += [
        Finding(
            "warning", f"{count:,} of {total:,} rows {'is' if count == 1 else 'are'} left out: {reason}.", ("subset",)
        )
        for reason, count in data.train.left_out.items()
    ]
    # Labels that are kept apart although they may be the same are worth a second thought.
    doubtful = describe(data.labels)[-1] if data.labels.similar else ""
    found += [Finding("warning" if note == doubtful else "fine", note, ("merge_labels",)) for note in data.notes]
    found += _rare(data)
    return [*found, *_lengths(model, config, data.train.rows)]


def _without_effect(config: QLoRAConfig) -> list[Finding]:
    """Return a warning about settings that were changed, and that a classifier does not use."""
    values = config.model_dump() | {"task": "generate"}
    names = [name for name in without_effect(config) if applies(name, values)]
    if not names:
        return []
    changed = ", ".join(f"{TITLES[name]} {format_value(getattr(config, name))}" for name in names)
    return [Finding("warning", f"Without effect with Task classify: {changed}.", tuple(names))]


def _rare(data: LabeledSubset) -> list[Finding]:
    pairs = zip(data.labels.classes.names, data.labels.counts, strict=True)
    rare = [name for name, count in pairs if count == 1]
    if not rare:
        return []
    shown = ", ".join(map(repr, rare[:_SHOWN])) + (" and others" if len(rare) > _SHOWN else "")
    labels = counted(len(rare), "label has", "labels have")
    text = f"{labels} a single row to train on ({shown}) and will hardly be learned."
    return [Finding("warning", text, ("subset",))]


def _lengths(model: Model, config: QLoRAConfig, rows: list[LabeledText]) -> list[Finding]:
    """Warn of texts that are truncated, among the first ones."""
    from core.models.loading import load_tokenizer

    try:
        tokenizer: Any = load_tokenizer(model)
    except StudioError as error:
        return [Finding("problem", str(error), ("model",))]
    checked, truncated = rows[:_CHECKED_TEXTS], 0
    for row in checked:
        try:
            truncated += encode_text(tokenizer, row.text, config.max_length)[1]
        except ValueError:
            # Such a row is left out, and counted with its reason, when the run is prepared.
            continue
    if not truncated:
        return []
    text = (
        f"{truncated:,} of the first {len(checked):,} texts {'is' if truncated == 1 else 'are'} longer than "
        f"{config.max_length:,} tokens; {'its end' if truncated == 1 else 'their ends'} will not be read."
    )
    return [Finding("warning", text, ("max_length",))]
