"""What a person asks, as the engine takes it: which base, which adapters, which conversation in which lane."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from core.access import roles
from core.chat.engine import Base, Ticket
from core.chat.sampling import AS_TRAINED, Sampling
from core.chat.types import Lane
from core.data.formats import Message
from core.errors import StudioError
from core.models import catalogue
from core.models.loading import Precision
from core.runs.store import Run, RunStore


@dataclass(frozen=True)
class Asked:
    """One lane as a person chose it.

    Attributes:
        run, adapter: whose, and "final" or "step N" as `Run.adapters` names them; no run is the base.
        messages: the conversation, ending on a user turn.
        begun: tokens of an answer that is to be continued.
    """

    messages: list[Message]
    sampling: Sampling
    run: str = ""
    adapter: str = "final"
    begun: list[int] = field(default_factory=list)


def base_of(store: RunStore, run: Run) -> Base:
    """The base model of a run, as the run loads it."""
    config = run.config()
    model = catalogue.find(store.settings, config.model, config.revision)
    precision = Precision(config.quantization, config.double_quantization, config.compute_dtype)
    # Packed and fused attention give the same numbers as transformers' own choice; eager is asked for by its name.
    return Base(model, precision, "eager" if config.attention == "eager" else "auto")


def bases(store: RunStore) -> list[Base]:
    """What can be chatted with: the bases of runs with adapters, the newest first, then models that lie here."""
    found: dict[Base, None] = {}
    for run in store.runs():
        if not run.problem() and run.adapters():
            try:
                found[base_of(store, run)] = None
            except StudioError:
                continue  # its model is gone; the run's own page says so
    known = {base.model.name for base in found}
    for model in catalogue.available(store.settings):
        if model.local and model.name not in known:
            found[Base(model, Precision())] = None
    return list(found)


def ticket(store: RunStore, lanes: Sequence[Asked], base: Base | None = None) -> Ticket:
    """A ticket for the engine.

    Args:
        base: where no lane has an adapter.

    Raises:
        StudioError: no such run or adapter, an empty question, or runs that do not share a base.
    """
    if any(not asked.messages or not asked.messages[-1]["content"].strip() for asked in lanes):
        raise StudioError("The prompt is empty. Type a question first.")
    runs = {asked.run: store.run(asked.run) for asked in lanes if asked.run}
    for run in runs.values():
        own = base_of(store, run)
        if base is not None and own != base:
            raise StudioError(
                f"The run {run.title} stands on {own.words}, not on {base.words}: lanes share one copy of the base "
                "model's weights. Choose runs of one base."
            )
        base = own
    if base is None:
        raise StudioError("No model is chosen. Choose a base model, or a run.")
    if not runs:  # a list of models does not prepare them; whoever asks does
        base = replace(base, model=catalogue.find(store.settings, base.model.name, base.model.revision or ""))
    base = replace(base, precision=_precision(base.precision, [asked.sampling for asked in lanes]))
    template = next(iter(runs.values())).config().chat_template if runs else "auto"
    made, folders = [], {}
    for asked in lanes:
        name = f"{asked.run}/{asked.adapter}" if asked.run else None
        if name:
            folders[name] = _folder(runs[asked.run], asked.adapter)
        own = runs[asked.run].config().chat_template if asked.run else template
        made.append(Lane(asked.messages, asked.sampling, name, own, asked.begun))
    return Ticket(base, made, folders)


def _folder(run: Run, adapter: str):
    found = run.adapters()
    if adapter not in found:
        known = ", ".join(found) or "none yet"
        raise StudioError(f"The run {run.id} has no adapter {adapter!r}. It has: {known}.")
    return found[adapter]


def _precision(trained: Precision, settings: list[Sampling]) -> Precision:
    """Return the precision that lanes ask for, where it is not the run's own.

    Raises:
        StudioError: the lanes ask for different ones, or a visitor asks for another than the run's.
    """
    asked = {(each.quantization, each.compute_dtype) for each in settings}
    if len(asked) > 1:
        raise StudioError(
            "The lanes ask for different precisions, but share one copy of the base model's weights. Set Quantization "
            "and Compute dtype for all lanes."
        )
    quantization, dtype = asked.pop()
    if (quantization, dtype) == (AS_TRAINED, AS_TRAINED):
        return trained
    if not roles.caller().is_owner:
        raise StudioError(
            f"Another precision loads the model again, which is for the owner. Set both to {AS_TRAINED!r}."
        )
    return Precision(
        trained.quantization if quantization == AS_TRAINED else quantization,
        trained.double_quantization,
        trained.compute_dtype if dtype == AS_TRAINED else dtype,
    )
