"""Chat and training on one GPU: a run goes first, and nobody's memory is taken without a word."""

from core import gpu
from core.errors import StudioError
from core.runs import fitting
from core.runs.config import QLoRAConfig
from core.runs.forecast import CONTEXT, MARGIN
from core.runs.store import RunStore
from core.settings import Settings

_CACHES = 2**30  # keys and values of a few long answers, and what decoding works with


def weights(settings: Settings, config: QLoRAConfig) -> float | None:
    """Bytes a run's base model takes to chat with; None where that has no forecast."""
    room = fitting.fit(settings, config)
    return room.forecast.parts["weights"] + _CACHES + CONTEXT if room else None


def check_room(store: RunStore, config: QLoRAConfig) -> None:
    """Before a chat loads the base of `config`: it must leave a run on the same GPU what that will need.

    Raises StudioError when there is a run, and not room for both.
    """
    card, run = gpu.memory(), store.active()
    if card is None or run is None:
        return
    needs, chat = fitting.fit(store.settings, run.config()), weights(store.settings, config)
    if needs is not None and chat is not None and needs.forecast.device + chat <= card.total * (1 - MARGIN):
        return
    size = f"about {chat / 2**30:.1f} GiB" if chat else "an unknown share"
    raise StudioError(
        f"The run {run.title} trains on this GPU and comes first: the chat's model would take {size} of its "
        f"{card.total / 2**30:.0f} GiB. Ask again when the run has ended, or stop it."
    )


def in_the_way(settings: Settings, config: QLoRAConfig) -> bool:
    """Whether a run of `config` needs more of the GPU than is free now; True where its need is unknown."""
    if gpu.memory() is None:
        return False
    room = fitting.fit(settings, config)
    return room is None or not room.fits
