"""GPU arbiter: decides which of training, chat and evaluation may load a model onto the GPU.

A training run has priority. Between a chat and an evaluation, the one that was started first keeps its memory.
Nothing is unloaded without a message that names the reason. Without a GPU every check passes.
"""

from typing import Literal

import psutil
from pydantic import ValidationError

from core.errors import StudioError
from core.hardware import gpu
from core.runs import fit
from core.runs.config import QLoRAConfig
from core.runs.forecast import CONTEXT, MARGIN
from core.runs.store import Run, RunStore
from core.settings import Settings
from core.system.files import read_json
from core.system.work_folder import WorkState

# Keys and values of a few long answers, and the scratch buffers of decoding.
CACHE_BYTES = 2**30


def answering_bytes(settings: Settings, config: QLoRAConfig) -> float | None:
    """Return the bytes that a run's base model takes for chatting; None if the model has no forecast."""
    fitted = fit.fit(settings, config)
    return fitted.forecast.parts["weights"] + CACHE_BYTES + CONTEXT if fitted else None


def check_fits_beside_run(store: RunStore, config: QLoRAConfig, asker: Literal["chat", "evaluation"] = "chat") -> None:
    """Check that a base model leaves an active run on the same GPU the memory that the run will need.

    Args:
        store: Where the active run is found.
        config: Settings of a run on the base model that is to be loaded.
        asker: What the model is to be loaded for.

    Raises:
        StudioError: A run is active, and the GPU has no memory for both, or what one of them needs is not known.
    """
    gpu_memory, run = gpu.memory(), store.active()
    if gpu_memory is None or run is None:
        return
    # The run's forecast, not what it holds now: it may still be loading, or between two peaks.
    needed, model = fit.fit(store.settings, run.config()), answering_bytes(store.settings, config)
    if needed is not None and model is not None and needed.forecast.device + model <= gpu_memory.total * (1 - MARGIN):
        return
    own = _size(needed.forecast.device if needed else None)
    again = {"chat": "Ask again", "evaluation": "Start or resume the evaluation"}[asker]
    raise StudioError(
        f"The run {run.title} trains on this GPU and has priority: the {asker}'s model would take {_size(model)} of "
        f"its {gpu_memory.total / 2**30:.0f} GiB, and the run takes {own}. {again} when the run has ended, or stop it."
    )


def check_fits_beside_evaluation(settings: Settings, config: QLoRAConfig) -> bool:
    """Check that a base model leaves an active evaluation on the same GPU enough memory.

    Half of the free memory is left to the evaluation, whose caches grow with its answers.

    Args:
        settings: The studio's settings.
        config: Settings of a run on the base model that is to be loaded.

    Returns:
        Whether an evaluation is active.

    Raises:
        StudioError: An evaluation is active, and the GPU has no memory for both.
    """
    gpu_memory = gpu.memory()
    evaluation = _active_evaluation(settings) if gpu_memory else None
    if gpu_memory is None or evaluation is None:
        return False
    name, is_loading = evaluation
    chat = answering_bytes(settings, config)
    if not is_loading and chat is not None and chat + gpu_memory.total * MARGIN <= gpu_memory.free / 2:
        return True
    state = "is loading its model"
    if not is_loading:
        state = f"leaves {gpu_memory.free / 2 / 2**30:.1f} of its {gpu_memory.total / 2**30:.0f} GiB"
    raise StudioError(
        f"The evaluation {name} uses this GPU, was started first, and {state}; the chat's model would take "
        f"{_size(chat)}. Ask again when it has ended, or pause it in the Evaluate tab."
    )


def check_fits_free_memory(settings: Settings, config: QLoRAConfig) -> None:
    """Check that the base model of an evaluation fits into the GPU memory that is free now.

    A model without a forecast may try.

    Args:
        settings: The studio's settings.
        config: Settings of a run on the base model that is to be loaded.

    Raises:
        StudioError: The model does not fit, most likely because of a chat.
    """
    gpu_memory, needed = gpu.memory(), answering_bytes(settings, config)
    if gpu_memory is None or needed is None or needed + gpu_memory.total * MARGIN <= gpu_memory.free:
        return
    raise StudioError(
        f"{gpu_memory.free / 2**30:.1f} of this GPU's {gpu_memory.total / 2**30:.0f} GiB are free, and the evaluation "
        f"takes about {needed / 2**30:.1f} GiB to begin with. If a chat's model is loaded, unload it in the Chat tab, "
        "under Export, prompts, memory; then start again."
    )


def check_exported_fits(name: str, weights: int) -> None:
    """Check that the weights of an exported model, and the keys and values of its answers, fit into the free memory.

    Args:
        name: Name of the file.
        weights: Bytes of its weights in memory.

    Raises:
        StudioError: They do not fit.
    """
    gpu_memory = gpu.memory()
    needed, free = weights + CACHE_BYTES, gpu_memory.free if gpu_memory else psutil.virtual_memory().available
    if needed > free:
        raise StudioError(
            f"{name} answers with weights of its own, which take {needed / 2**30:.1f} GiB in float32 with their cache, "
            f"and {free / 2**30:.1f} GiB are free. Choose fewer models, or the adapter in place of the file."
        )


def check_fits_for_evaluation(store: RunStore, config: QLoRAConfig) -> None:
    """Check that the base model of an evaluation fits beside an active run, and into the memory that is free now.

    Raises:
        StudioError: The model does not fit.
    """
    check_fits_beside_run(store, config, "evaluation")
    check_fits_free_memory(store.settings, config)


def find_waiting_run(store: RunStore) -> Run | None:
    """Return the active run if it is about to load its model, and the GPU lacks memory for it; otherwise None."""
    run = store.active()
    is_waiting = run and run.state().status == "preparing" and run_lacks_memory(store.settings, run.config())
    return run if is_waiting else None


def run_lacks_memory(settings: Settings, config: QLoRAConfig) -> bool:
    """Return whether a run needs more GPU memory than is free now; True if its need is unknown."""
    if gpu.memory() is None:
        return False
    fitted = fit.fit(settings, config)
    return fitted is None or not fitted.fits


def _active_evaluation(settings: Settings) -> tuple[str, bool] | None:
    """Return the name of the evaluation whose worker lives, and whether it is still loading; None if there is none."""
    for path in settings.evaluations_dir.glob("[!.]*/state.json"):
        try:
            # EvaluationState is in a layer above this one; WorkState has the fields that are needed here.
            state = WorkState.model_validate(read_json(path))
        except (OSError, ValueError, ValidationError):
            # An unreadable state cannot be of a worker that runs: workers replace the file atomically.
            continue
        if state.status in ("preparing", "running") and state.process_lives():
            return path.parent.name, state.status == "preparing"
    return None


def _size(size: float | None) -> str:
    return f"about {size / 2**30:.1f} GiB" if size else "an unknown share"
