"""Answers of classifiers: the probabilities of the labels of texts, for Chat and Evaluate.

A classifier has a head in place of the output layer, so it is a model of its own in memory, beside the model that
generates answers. Nothing is decoded: each text goes through the model once. torch is imported when one is loaded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.chat.types import BaseIdentity
from core.errors import StudioError
from core.models import catalogue
from core.models.classifier import encode_text, load_classifier
from core.models.classifier_batches import class_logits, pad_texts, pads_right
from core.models.download import fetch
from core.runs import classifier
from core.runs.adapters import adapter_folder
from core.runs.store import Run
from core.settings import Settings

if TYPE_CHECKING:
    from peft import PeftModel

# Texts per forward pass.
BATCH_TEXTS = 16


@dataclass(frozen=True)
class Text:
    """A text as a classifier reads it.

    Attributes:
        ids: Its tokens.
        is_truncated: Whether its end was left out.
    """

    ids: list[int]
    is_truncated: bool


class LoadedClassifier:
    """A classifier in memory.

    Attributes:
        about: Its labels, and how it reads a text.
        base: Its base model, in the precision in which it is loaded.
    """

    def __init__(
        self, settings: Settings, base: BaseIdentity, folder: Path, report: Callable[[str], None],
        is_cancelled: Callable[[], bool] = lambda: False,
    ):  # fmt: skip
        """Load a classifier.

        Args:
            settings: The studio's settings.
            base: The base model of its run.
            folder: The folder of its adapter.
            report: Called with a text at the beginning of each stage that takes seconds.
            is_cancelled: Whether to stop a download of the base model.

        Raises:
            core.hub.download.DownloadCancelled: `is_cancelled` returned true.
            StudioError: The model or the adapter cannot be loaded.
        """
        from peft import PeftModelForSequenceClassification

        from core.chat import peft_model

        self.about, self.base = classifier.read(folder), base
        config = peft_model.read_config(folder)
        model = catalogue.find(settings, base.model, base.revision, report)
        fetch(model, report, is_cancelled)
        report(f"Loading {base.model}")
        loaded = load_classifier(model, base.precision, base.attention, len(self.about.id2label))
        self._tokenizer = loaded.tokenizer
        tensors = peft_model.read_tensors(folder, config)
        self._model: PeftModel = peft_model.load(
            loaded.model.eval(), config, tensors, folder.name, PeftModelForSequenceClassification
        )
        # The padding id that the classifier was trained with, even if the tokenizer has another one now.
        self._pad_id = self._model.config.pad_token_id = self.about.pad_token_id
        self._one_by_one = not pads_right(self._model.get_base_model(), self._pad_id)

    def read(self, text: str) -> Text:
        """Return a text as tokens; a question that the dataset's reading writes around texts is removed.

        Raises:
            StudioError: There is nothing to read, or the tokenizer fails on the text.
        """
        try:
            found = Text(*encode_text(self._tokenizer, self.about.frame.text_of(text), self.about.max_length))
        except ValueError as error:
            raise StudioError(f"The text cannot be classified: {error}. Change the text.") from error
        if not found.ids:
            raise StudioError("The text is empty, so it cannot be classified. Type a text first.")
        return found

    def classify(self, texts: Sequence[Text]) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield indices of texts, and the probabilities of their labels, (indices, labels), batch by batch."""
        import torch

        order = sorted(range(len(texts)), key=lambda index: len(texts[index].ids))
        for start in range(0, len(order), BATCH_TEXTS):
            indices = order[start : start + BATCH_TEXTS]
            batch = pad_texts([texts[index].ids for index in indices], self._pad_id)
            ids, mask = (batch[name].to(self._model.device) for name in ("input_ids", "attention_mask"))
            with torch.inference_mode():
                logits = class_logits(self._model, ids, mask, self._one_by_one)
            yield indices, logits.double().softmax(dim=1).cpu().numpy()


def classify(
    settings: Settings, run: Run, texts: Sequence[str], adapter: str = "final",
    report: Callable[[str], None] = lambda stage: None,
) -> np.ndarray:  # fmt: skip
    """Return the probabilities of a run's labels for texts, (texts, labels); the labels are in `classifier.read`.

    Args:
        settings: The studio's settings.
        run: A run that trained a classifier.
        texts: What to classify.
        adapter: "final", or "step N" for a checkpoint.
        report: Called with a text at the beginning of each stage.

    Raises:
        StudioError: The run is no classifier, has no such adapter, or a text cannot be classified.
    """
    loaded = LoadedClassifier(settings, BaseIdentity.from_config(run.config()), find_adapter(run, adapter), report)
    read = [loaded.read(text) for text in texts]
    found = np.zeros((len(read), len(loaded.about.id2label)))
    for indices, probabilities in loaded.classify(read):
        found[indices] = probabilities
    return found


def find_adapter(run: Run, adapter: str) -> Path:
    """Return the folder of a classifier's adapter.

    Raises:
        StudioError: The run is no classifier, or has no such adapter.
    """
    if not run.config().classifies:
        raise StudioError(f"The run {run.title} generates text, so it has no labels. Choose a run with Task classify.")
    return adapter_folder(run, adapter)
