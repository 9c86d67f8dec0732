"""Chat, training and evaluations on one GPU: a run goes first, then whoever was there first, and nobody's memory is
taken without a word.
"""

from core.errors import StudioError
from core.evaluate.store import EvaluationStore
from core.hardware import gpu
from core.runs import fit
from core.runs.config import QLoRAConfig
from core.runs.forecast import CONTEXT, MARGIN
from core.runs.store import RunStore
from core.settings import Settings

CACHES = 2**30  # keys and values of a few long answers, and what decoding works with


def weights(settings: Settings, config: QLoRAConfig) -> float | None:
    """Bytes a run's base model takes to chat with; None where that has no forecast."""
    room = fit.fit(settings, config)
    return room.forecast.parts["weights"] + CACHES + CONTEXT if room else None


def check_fits_beside_run(store: RunStore, config: QLoRAConfig) -> None:
    """Before a chat loads the base of `config`: it must leave a run on the same GPU what that will need.

    Raises StudioError when there is a run, and not room for both.
    """
    card, run = gpu.memory(), store.active()
    if card is None or run is None:
        return
    needs, chat = fit.fit(store.settings, run.config()), weights(store.settings, config)
    if needs is not None and chat is not None and needs.forecast.device + chat <= card.total * (1 - MARGIN):
        return
    size = f"about {chat / 2**30:.1f} GiB" if chat else "an unknown share"
    raise StudioError(
        f"The run {run.title} trains on this GPU and comes first: the chat's model would take {size} of its "
        f"{card.total / 2**30:.0f} GiB. Ask again when the run has ended, or stop it."
    )


def check_fits_beside_evaluation(store: RunStore, config: QLoRAConfig) -> bool:
    """Before a chat loads the base of `config`: whether an evaluation answers on the same GPU, with room beside it.

    Half of what is free is left to the evaluation, whose answers under way grow into it.

    Raises StudioError when there is one, and not room for both.
    """
    card = gpu.memory()
    evaluation = EvaluationStore(store.settings).active() if card else None
    if card is None or evaluation is None:
        return False
    chat, loads = weights(store.settings, config), evaluation.state().status == "preparing"
    if not loads and chat is not None and chat + card.total * MARGIN <= card.free / 2:
        return True
    held = "is loading its model" if loads else f"leaves {card.free / 2**31:.1f} of its {card.total / 2**30:.0f} GiB"
    size = f"about {chat / 2**30:.1f} GiB" if chat else "an unknown share"
    raise StudioError(
        f"The evaluation {evaluation.id} answers on this GPU, was there first, and {held}; the chat's model would take "
        f"{size}. Ask again when it has ended, or pause it in the Answers tab."
    )


def check_fits_free_memory(settings: Settings, config: QLoRAConfig) -> None:
    """Before an evaluation loads the base of `config`: whoever holds the GPU's memory, a chat most likely, was first.

    Raises StudioError when the base does not fit into what is free. One whose need is unknown may try.
    """
    card, needs = gpu.memory(), weights(settings, config)
    if card is None or needs is None or needs + card.total * MARGIN <= card.free:
        return
    raise StudioError(
        f"{card.free / 2**30:.1f} of this GPU's {card.total / 2**30:.0f} GiB are free, and the evaluation takes about "
        f"{needs / 2**30:.1f} GiB to begin with. If a chat's model is there, unload it in the Chat tab, under Export, "
        "prompts, memory; then start again."
    )


def needs_chat_memory(settings: Settings, config: QLoRAConfig) -> bool:
    """Whether a run of `config` needs more of the GPU than is free now; True where its need is unknown."""
    if gpu.memory() is None:
        return False
    room = fit.fit(settings, config)
    return room is None or not room.fits
