"""The two tasks that a run trains: generating the answers of conversations, and choosing a label for a text.

A task reads the rows, loads the model with the right head, turns the rows into tokens, and builds the trainer;
core/train/preparation.py does what is the same for both. torch is imported only when a function is called.
"""

from typing import TYPE_CHECKING, Any, Protocol

from core.data.table import HELD_OUT, TRAIN
from core.errors import StudioError
from core.models.catalogue import Model
from core.models.loading import Precision
from core.runs import classifier
from core.runs.classifier import LabeledSubset
from core.runs.config import QLoRAConfig
from core.runs.store import Run
from core.settings import Settings
from core.system.counting import counted
from core.train.distributed import RankGroup

if TYPE_CHECKING:
    from trl import SFTConfig

    from core.models.loading import LoadedBase
    from core.train.batches import TokenizedRows
    from core.train.trainer import StudioTrainer


class Task(Protocol):
    """Task of a run, used in the order of its methods.

    Attributes:
        template: Name of the chat template, or what stands for it, once rows are tokenized.
    """

    template: str

    def load(self, model: Model, precision: Precision, attention: str) -> "LoadedBase":
        """Load the base model with the task's head."""

    def tokenize(self, base: "LoadedBase") -> tuple["TokenizedRows", list[dict[str, Any]]]:
        """Return the training rows and the held-out rows as tokens, and add notes about them to those of the base."""

    def build_trainer(
        self, base: "LoadedBase", rows: list[dict[str, Any]], arguments: "SFTConfig", ranks: RankGroup
    ) -> "StudioTrainer":
        """Return the trainer, with the adapter on the model."""


class GenerationTask:
    """Training on the answers of conversations."""

    def __init__(self, config: QLoRAConfig, rows: dict[str, list]):
        """Keep the conversations.

        Args:
            config: The run's settings.
            rows: Conversations by split.
        """
        self._config, self._rows = config, rows
        self.template = ""

    def load(self, model: Model, precision: Precision, attention: str) -> "LoadedBase":
        """Load a causal language model."""
        from core.models.loading import load_base

        return load_base(model, precision, attention)

    def tokenize(self, base: "LoadedBase") -> tuple["TokenizedRows", list[dict[str, Any]]]:
        """Render the conversations with the run's chat template, which is stored with the tokenizer."""
        from core.data.tokens import Renderer
        from core.train.batches import tokenize

        config = self._config
        self._renderer = Renderer(
            base.tokenizer, config.chat_template, base.model.get_input_embeddings().weight.shape[0]
        )
        # The tokenizer is saved with the adapter, so that it keeps the template it was trained with.
        base.tokenizer.chat_template = self._renderer.template
        self.template = self._renderer.template_name
        tokenized, held_out = (
            tokenize(self._renderer, rows, config.max_length, config.answers_only)
            for rows in (self._rows[TRAIN], self._rows[HELD_OUT][: config.eval_rows])
        )
        base.notes += [
            self._renderer.end_tokens.note,
            *(f"In {counted(count, 'row')}, {note}." for note, count in tokenized.notes.items()),
        ]
        return tokenized, held_out.rows

    def build_trainer(
        self, base: "LoadedBase", rows: list[dict[str, Any]], arguments: "SFTConfig", ranks: RankGroup
    ) -> "StudioTrainer":
        """Return the trainer of conversations."""
        from core.train.trainer import StudioTrainer

        return StudioTrainer(self._config, base, rows, args=arguments, renderer=self._renderer, ranks=ranks)


class LabelTask:
    """Training of a classifier on texts with labels."""

    template = "Texts are read without a chat template"

    def __init__(self, settings: Settings, config: QLoRAConfig, rows: dict[str, list], run: Run, ranks: RankGroup):
        """Read the labels, which needs no model.

        Args:
            settings: The studio's settings.
            config: The run's settings.
            rows: Conversations by split.
            run: The run, in whose folder the labels are written.
            ranks: The processes that train the run together.

        Raises:
            StudioError: No classifier can be trained on the labels.
        """
        self._config, self._run, self._ranks = config, run, ranks
        self._data = LabeledSubset(settings, config, rows)

    def load(self, model: Model, precision: Precision, attention: str) -> "LoadedBase":
        """Load a model with a new classification head."""
        from core.models.classifier import load_classifier

        return load_classifier(model, precision, attention, len(self._data.labels.classes.names))

    def tokenize(self, base: "LoadedBase") -> tuple["TokenizedRows", list[dict[str, Any]]]:
        """Tokenize the texts, and write the labels into the folder of the run.

        Raises:
            StudioError: A resumed run began with other labels.
        """
        from core.train.labeled_batches import tokenize_texts

        self._classifier = self._data.classifier(self._config.max_length, base.model.config.pad_token_id)
        if classifier.is_classifier(self._run.folder):
            before = classifier.read(self._run.folder).labels
            if before != self._classifier.labels:
                raise StudioError(
                    f"The run began with the labels {', '.join(before)}, and {self._config.subset!r} now has "
                    f"{', '.join(self._classifier.labels)}. Start a new run."
                )
        elif self._ranks.is_main:
            self._classifier.write(self._run.folder)
        base.notes += self._data.notes
        tokenized, held_out = (
            tokenize_texts(base.tokenizer, rows, self._data.labels.classes, self._config.max_length)
            for rows in (self._data.train, self._data.held_out)
        )
        return tokenized, held_out.rows

    def build_trainer(
        self, base: "LoadedBase", rows: list[dict[str, Any]], arguments: "SFTConfig", ranks: RankGroup
    ) -> "StudioTrainer":
        """Return the trainer of classifiers."""
        from core.train.classifier_trainer import ClassifierTrainer

        return ClassifierTrainer(self._config, base, rows, self._classifier, args=arguments, ranks=ranks)
