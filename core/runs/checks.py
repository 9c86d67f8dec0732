"""Preflight checks of a run: every problem at once, each with its next step, before anything is started."""

import importlib.util
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psutil

from core.access.free_disk import check_free_disk
from core.access.quotas import Quotas
from core.data import subset as subsets
from core.data.table import HELD_OUT, TRAIN
from core.data.tokens import Renderer, TemplateError
from core.errors import StudioError
from core.hardware import gpu
from core.hub import client
from core.models import catalogue, support
from core.models.catalogue import Model
from core.runs import fit, label_checks, preflight_model, start_adapter
from core.runs.config import QLoRAConfig
from core.runs.findings import Finding
from core.runs.forecast import MARGIN
from core.settings import Settings, hardware
from core.system.counting import counted, verb_for
from core.system.jobs import ignore_stage

# Rows that are rendered to check the chat template and the maximum length.
_CHECKED_ROWS = 400
_TRACKERS = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb"}


def check(settings: Settings, config: QLoRAConfig, on_stage: Callable[[str], None] = ignore_stage) -> list[Finding]:
    """Return all findings, problems first, then warnings.

    Args:
        settings: The studio's settings.
        config: The run's settings.
        on_stage: Called with a description of each stage.
    """
    on_stage("Checking this machine and the rows")
    found = [*_machine(config), *_trackers(config), *_disk(settings), *start_adapter.findings(settings, config)]
    if client.is_hub_id(config.model):
        on_stage(f"Asking the Hub for {config.model}")
    model = _model(settings, config, found, on_stage)
    rows = _rows(settings, config, found)
    if model is not None:
        # The model is examined in a process of its own, so the rows are rendered meanwhile.
        with ThreadPoolExecutor(1) as pool:
            examined = pool.submit(preflight_model.findings, model, config)
            # The first use of a server imports them, which takes longer than all checks.
            is_loaded = "torch" in sys.modules
            on_stage("Reading the model's config" if is_loaded else "Loading PyTorch and transformers, once")
            _shape(model, config, found)
            if rows is not None and config.classifies:
                on_stage(f"Checking the labels of {counted(len(rows[TRAIN]), 'row')}")
                found += label_checks.findings(settings, model, config, rows)
            elif rows is not None:
                on_stage(
                    f"Checking the length and the template of {counted(min(len(rows[TRAIN]), _CHECKED_ROWS), 'row')}"
                )
                _rendered(model, config, rows, found)
            found += _memory(settings, config)
            on_stage("Checking the model and its adapter")
            found += examined.result()
    order = {"problem": 0, "warning": 1, "fine": 2}
    return sorted(found, key=lambda finding: order[finding.level])


def _model(
    settings: Settings, config: QLoRAConfig, found: list[Finding], on_stage: Callable[[str], None]
) -> Model | None:
    try:
        model = catalogue.find(
            settings, config.model, config.revision, lambda sentence: on_stage(sentence.removesuffix("."))
        )
        catalogue.check_access(model)
    except StudioError as error:
        found.append(Finding("problem", str(error), ("revision",) if config.revision else ("model",)))
        return None
    return model


def _rows(settings: Settings, config: QLoRAConfig, found: list[Finding]) -> dict[str, list] | None:
    try:
        rows = subsets.load(settings, config.subset)
    except StudioError as error:
        found.append(Finding("problem", str(error), ("subset",)))
        return None
    train, held_out = len(rows[TRAIN]), len(rows[HELD_OUT])
    if not held_out and not config.held_out_share:
        text = (
            "No rows are held out, so the metrics cannot show overfitting. Set Held-out share, or create a subset with "
            "held-out rows."
        )
        found.append(Finding("warning", text, ("held_out_share",)))
    batch = config.batch_size * config.gradient_accumulation
    if train < batch:
        text = f"{counted(train, 'row is', 'rows are')} fewer than one update needs ({batch:,}). Lower the batch size."
        found.append(Finding("warning", text, ("batch_size", "gradient_accumulation")))
    found.append(Finding("fine", f"{config.subset}: {counted(train, 'row')} to train on, {held_out:,} held out."))
    return rows


def _shape(model: Model, config: QLoRAConfig, found: list[Finding]) -> None:
    """Check the maximum length against the context length of the model."""
    model_config, _ = preflight_model.read_config(model)
    if model_config is None:
        # `preflight_model.findings` reports that the config cannot be read.
        return
    if problem := length_problem(config, model_config):
        found.append(Finding("problem", problem, ("max_length",)))


def _vocabulary(model: Model) -> int | None:
    """Return the rows of the embedding matrix by the model's config; None where that cannot be read (see `_shape`)."""
    model_config, _ = preflight_model.read_config(model)
    if model_config is None:
        return None
    return getattr(model_config.get_text_config(), "vocab_size", None)


@dataclass
class _RenderCounts:
    """Counts of rows that the template refuses, truncates or leaves without loss.

    Attributes:
        rows: Number of rows that were rendered.
        rows_in_words: These rows in words.
        refused: Rows that cannot be trained on, by the reason.
        notes: Rows by what the template changed about them.
        truncated: Rows longer than the maximum length.
        without_loss: Rows that have no tokens with loss, but would have some with a larger maximum length.
    """

    rows: int
    rows_in_words: str
    refused: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    without_loss: int = 0

    def findings(self, max_length: int) -> list[Finding]:
        """Return a finding per kind of trouble: a problem if it affects every checked row, else a warning."""

        def about(count: int, text: str, *fields: str) -> Finding:
            return Finding(
                "problem" if count == self.rows else "warning", f"{count:,} {self.rows_in_words} {text}", fields
            )

        found = [about(count, f"cannot be trained on: {reason}.") for reason, count in self.refused.items()]
        if self.without_loss:
            have = verb_for(self.without_loss, "has", "have")
            text = f"{have} no tokens with loss within {max_length:,} tokens. Raise the maximum length."
            found.append(about(self.without_loss, text, "max_length"))
        if self.truncated:
            text = (
                f"{self.truncated:,} {self.rows_in_words} {verb_for(self.truncated)} longer than {max_length:,} tokens "
                "and will be truncated."
            )
            found.append(Finding("warning", text, ("max_length",)))
        return [
            *found,
            *(Finding("warning", f"In {count:,} {self.rows_in_words}, {note}.") for note, count in self.notes.items()),
        ]


def _count_problems(renderer: Renderer, config: QLoRAConfig, rows: list[tuple[int, list]]) -> _RenderCounts:
    """Render the first rows as training does, and count what is wrong with them."""
    checked = rows[:_CHECKED_ROWS]
    first = "the first " if len(checked) < len(rows) else ""
    counts = _RenderCounts(len(checked), f"of {first}{counted(len(checked), 'row')}")
    for _, messages in checked:
        try:
            shown = renderer.render(messages, config.max_length, all_text=not config.answers_only)
        except TemplateError as error:
            counts.refused[str(error)] += 1
            continue
        counts.notes.update(shown.notes)
        counts.truncated += shown.is_truncated
        reason = shown.no_loss_reason(config.max_length)
        # Only a row that is truncated before its answer is helped by a larger maximum length.
        if reason and (shown.is_all_masked or not shown.is_truncated):
            counts.refused[reason] += 1
        else:
            counts.without_loss += reason is not None
    return counts


def _rendered(model: Model, config: QLoRAConfig, rows: dict[str, list], found: list[Finding]) -> None:
    """Render the first rows and check how many the template refuses, truncates or leaves without loss."""
    from core.models.loading import load_tokenizer

    try:
        renderer = Renderer(load_tokenizer(model), config.chat_template, _vocabulary(model))
    except StudioError as error:
        found.append(Finding("problem", str(error), ("chat_template",)))
        return
    counts = _count_problems(renderer, config, rows[TRAIN])
    found += counts.findings(config.max_length)
    found.append(Finding("fine", f"Chat template: {renderer.template_name}."))
    warning = renderer.end_tokens.warning
    found.append(Finding("warning" if warning else "fine", warning or renderer.end_tokens.note))


def length_problem(config: QLoRAConfig, model_config: Any) -> str | None:
    """Return a message if rows of the maximum length exceed the context of the model, or None.

    Args:
        config: The run's settings.
        model_config: The model's `PretrainedConfig`.
    """
    context = support.context_of(model_config)
    if context is None or config.max_length <= context:
        return None
    return (
        f"Maximum length {config.max_length:,} is more than the context of {config.model} ({context:,} tokens). "
        f"Set it to {context:,} or less."
    )


def machine_problem(config: QLoRAConfig) -> str | None:
    """Return a setting that this machine does not support, as a message, or None."""
    if config.lora_init == "loftq" and hardware().device == "cpu":
        return (
            "LoftQ needs an NVIDIA GPU to unpack NF4 weights, and this machine has none. Set Initialization to default."
        )
    return None


def gpus_problem(config: QLoRAConfig) -> str | None:
    """Return a message if the run needs more GPUs than there are, or None; a run on one GPU also runs without any."""
    there = len(gpu.names()) if hardware().device == "cuda" else 0
    if config.gpus == 1 or config.gpus <= there:
        return None
    have = {0: "no NVIDIA GPU", 1: "one GPU"}.get(there, f"{there} GPUs")
    return f"GPUs is {config.gpus}, and this machine has {have}. Set GPUs to {max(1, there)}."


def _machine(config: QLoRAConfig) -> list[Finding]:
    problems = {"lora_init": machine_problem(config), "gpus": gpus_problem(config)}
    found = [Finding("problem", problem, (name,)) for name, problem in problems.items() if problem]
    if config.gpus > 1 and not found:
        text = (
            f"Each of {config.gpus} GPUs takes {config.rows_per_gpu} of a batch's {config.batch_size} rows, and holds "
            "the whole model."
        )
        found.append(Finding("fine", text))
    return found


def _memory(settings: Settings, config: QLoRAConfig) -> list[Finding]:
    """Warn of a run that would not fit even if nothing else used the memory."""
    fitted = fit.fit(settings, config)
    if fitted is None or fitted.needed <= fitted.total * (1 - MARGIN):
        return []
    kind = "GPU memory" if fitted.on_gpu else "memory"
    text = (
        f"By the forecast the run needs {fitted.needed / 2**30:.1f} GiB of {kind}, and there are "
        f"{fitted.total / 2**30:.1f} GiB, so it may run out of memory. Lower the batch size or the maximum length, or "
        "choose a smaller model."
    )
    return [Finding("warning", text, ("batch_size", "max_length"))]


def _trackers(config: QLoRAConfig) -> list[Finding]:
    package = _TRACKERS.get(config.report_to)
    if package is None or importlib.util.find_spec(package) is not None:
        return []
    text = (
        f"Reporting to {config.report_to} needs the package {package}, which is not installed. "
        f"Run: pip install {package}, or set Report to to none."
    )
    return [Finding("problem", text, ("report_to",))]


def _disk(settings: Settings) -> list[Finding]:
    try:
        check_free_disk(settings.runs_dir, Quotas().free_gib)
    except StudioError as error:
        return [Finding("problem", str(error))]
    free = shutil.disk_usage(settings.runs_dir).free / 2**30
    memory = psutil.virtual_memory().available / 2**30
    return [Finding("fine", f"{free:.0f} GiB of disk and {memory:.0f} GiB of memory are free.")]
