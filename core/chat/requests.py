"""Resolve lanes: find the runs and adapters they name, and check that all can share one base model.

The Chat tab, the endpoint /chat, the command line and evaluations call `resolve_lanes` before they ask. Nothing is
loaded here.
"""

from collections.abc import Sequence
from dataclasses import replace

from core.access import roles
from core.chat.sampling import AS_TRAINED, Sampling
from core.chat.types import BaseIdentity, LaneRequest, ResolvedLanes
from core.errors import StudioError
from core.models import catalogue
from core.runs.adapters import adapter_folder
from core.runs.classifier import is_classifier
from core.runs.exported import find_model, is_exported
from core.runs.imported import all_tuned, find_tuned
from core.runs.store import Run, RunStore


def base_identity(store: RunStore, run: Run) -> BaseIdentity:
    """Return the base model of a run without preparing it, so that lists of bases need not wait.

    Raises:
        StudioError: The model is no longer available.
    """
    config = run.config()
    catalogue.locate(store.settings, config.model, config.revision)
    return BaseIdentity.from_config(config)


def available_bases(store: RunStore) -> list[BaseIdentity]:
    """Return the bases of all runs with an adapter, newest first, then local models that no run uses."""
    # A dict keeps the order and drops duplicates.
    found: dict[BaseIdentity, None] = {}
    for run in all_tuned(store):
        if not run.problem() and run.adapters():
            try:
                found[base_identity(store, run)] = None
            except StudioError:
                # The run's own page reports the missing model.
                continue
    known = {base.model for base in found}
    for model in catalogue.available(store.settings):
        if model.local and model.name not in known:
            found[BaseIdentity(model.name)] = None
    return list(found)


def resolve_lanes(store: RunStore, requests: Sequence[LaneRequest], base: BaseIdentity | None = None) -> ResolvedLanes:
    """Find every adapter that lanes ask for, and the one base model that all of them share.

    Args:
        store: Where the runs are.
        requests: The lanes as chosen; adapters by their keys ("RUN/ADAPTER"), exported files by theirs ("RUN/FILE").
        base: The chosen base model; it may be left out if a lane names a run.

    Raises:
        StudioError: A prompt is empty, a run, an adapter or a file does not exist, the lanes need different bases or
            precisions, or no base is given.
    """
    if any(_is_empty(request) for request in requests):
        raise StudioError("The prompt is empty. Type a question first.")
    named = {request.adapter: request.adapter.partition("/")[::2] for request in requests if request.adapter}
    runs = {run: find_tuned(store, run) for run, _ in named.values()}
    base = _shared_base(store, list(runs.values()), base)
    base = _with_precision(base, [request.sampling for request in requests])
    # Lanes of the base use the template of the first run beside them, so that both models read the same prompt.
    shared_template = next(iter(runs.values())).config().chat_template if runs else "auto"
    lanes = [
        replace(
            request,
            template=runs[named[request.adapter][0]].config().chat_template if request.adapter else shared_template,
        )
        for request in requests
    ]
    exported = {
        key: find_model(store.settings, runs[run], file) for key, (run, file) in named.items() if is_exported(file)
    }
    folders = {key: adapter_folder(runs[run], name) for key, (run, name) in named.items() if key not in exported}
    classifiers = {key: folder for key, folder in folders.items() if is_classifier(folder)}
    adapters = {key: folders[key] for key in folders.keys() - classifiers.keys()}
    return ResolvedLanes(base, lanes, adapters, classifiers, exported)


def _is_empty(request: LaneRequest) -> bool:
    """Return whether a lane has no question; a prompt without a chat template may be any text."""
    if request.program is not None and request.program.is_raw:
        return False
    return not request.messages or not request.messages[-1]["content"].strip()


def _shared_base(store: RunStore, runs: list[Run], base: BaseIdentity | None) -> BaseIdentity:
    for run in runs:
        own = base_identity(store, run)
        if base is not None and own != base:
            raise StudioError(
                f"The run {run.title} cannot answer beside the other lanes: its {own.differences(base)}. All lanes "
                "share one copy of the base model's weights; choose runs of one base model."
            )
        base = own
    if base is None:
        raise StudioError("No model is chosen. Choose a base model, or a run.")
    return base


def _with_precision(base: BaseIdentity, settings: list[Sampling]) -> BaseIdentity:
    """Return the base in the precision that the lanes' settings ask for.

    Raises:
        StudioError: The lanes ask for different precisions, or a visitor asks for another one than the run's.
    """
    wanted = {(each.quantization, each.compute_dtype) for each in settings}
    if len(wanted) > 1:
        raise StudioError(
            "The lanes ask for different precisions, but share one copy of the base model's weights. Set Quantization "
            "and Compute dtype for all lanes."
        )
    quantization, dtype = wanted.pop()
    if (quantization, dtype) == (AS_TRAINED, AS_TRAINED):
        return base
    if not roles.caller().is_owner:
        raise StudioError(
            f"Only the owner can load the model in another precision. Set Quantization and Compute dtype to "
            f"{AS_TRAINED!r}."
        )
    quantization = base.quantization if quantization == AS_TRAINED else quantization
    # A base that was not in 4 bits has no setting of its own for double quantization: the default applies.
    double = base.double_quantization if base.quantization in ("nf4", "fp4") else True
    return replace(
        base,
        quantization=quantization,
        double_quantization=double,
        compute_dtype=base.compute_dtype if dtype == AS_TRAINED else dtype,
    )
