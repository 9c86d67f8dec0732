"""A judge that runs here: a model of the catalogue says which reply it finds likeliest, A, B or TIE.

Nothing is generated, so every question gets a valid reply, also from a small model. Whether the replies are worth
anything shows in the summary: how often both orders agree, and how often people agree.
"""

import threading
from collections.abc import Callable

from core.chat import arbiter
from core.chat.types import BaseIdentity
from core.data.formats import Message
from core.data.tokens import TemplateError
from core.evaluate.judge.endpoint import JudgeError
from core.models import catalogue
from core.models.download import fetch
from core.runs.store import RunStore
from core.settings import Settings
from core.system.fast_imports import pause_gc
from core.system.jobs import ignore_stage

_REPLIES = ("A", "B", "TIE")


class LocalJudge:
    """A loaded model; one question at a time."""

    def __init__(self, settings: Settings, name: str, report: Callable[[str], None] = ignore_stage):
        """Load the model.

        Args:
            settings: The studio's settings.
            name: Name of a model of the catalogue, or id of a Hub model.
            report: Called with the stage, and about once per second during a download.

        Raises:
            StudioError: There is no such model, a run or a chat needs the memory, or the disk is too small for it.
        """
        with pause_gc():
            from core.chat.lanes import Lanes
            from core.models.loading import load_base

        identity = BaseIdentity(catalogue.locate(settings, name).name)
        arbiter.check_fits_for_evaluation(RunStore(settings), identity.config)
        model = catalogue.find(settings, name, report=report)
        fetch(model, report)
        report(f"Loading {model.name}")
        base = load_base(model, identity.precision, identity.attention)
        self._lanes = Lanes(base, settings.fast_chat)
        self._lock = threading.Lock()

    def ask(self, messages: list[Message]) -> str:
        """Return the likeliest of the replies.

        Args:
            messages: The conversation.

        Raises:
            JudgeError: The question does not fit into the model's context, or its template refuses it.
        """
        from core.chat.forward import TargetText, token_losses

        renderer, context = self._lanes.renderer(), self._lanes.context_length()
        texts = []
        for reply in _REPLIES:
            try:
                rendered = renderer.render([*messages, {"role": "assistant", "content": reply}], context)
            except TemplateError as error:
                raise JudgeError(f"the judge's chat template refuses the question ({error})") from error
            if rendered.is_truncated or not rendered.loss_tokens:
                raise JudgeError(f"the question does not fit into the judge's context of {context:,} tokens")
            texts.append(TargetText(rendered.input_ids, rendered.labels))
        with self._lock:
            found = dict(pair for batch in token_losses(self._lanes, texts) for pair in batch)
        return _REPLIES[min(found, key=lambda index: float(found[index].sum()))]
