"""Trainer of classifiers: the studio's trainer with a classification head, one label per row, and its metrics.

Rows are padded, because families differ in where a row's label is read: at its first token, its last one, or from a
pooler. Blocks are not fused and rows are not packed. The loss is the cross-entropy over the labels, per row.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from core.models.classifier import encode_text
from core.models.classifier_batches import class_logits, pad_texts, pads_right
from core.models.loading import LoadedBase
from core.runs.classifier import Classifier
from core.runs.config import TITLES, QLoRAConfig, settings_of_task
from core.train.distributed import SINGLE, RankGroup
from core.train.labeled_batches import pad_labeled
from core.train.layout import Layout
from core.train.loss import CROSS_ENTROPY, Objective, class_cross_entropy
from core.train.trainer import StudioTrainer

# Labels that a sample shows, the most probable ones.
_SHOWN_LABELS = 5
_NOT_USED = (
    "A classifier reads each text without a chat template and is trained on its label alone. These settings "
    f"have no effect: {', '.join(TITLES[name] for name in settings_of_task('generate'))}."
)


class ClassifierTrainer(StudioTrainer):
    """StudioTrainer whose rows have one class each ("labels" is a list of it)."""

    def __init__(
        self, config: QLoRAConfig, base: LoadedBase, rows: list[dict[str, Any]], classifier: Classifier,
        ranks: RankGroup = SINGLE, **options: Any,
    ):  # fmt: skip
        """Build the trainer, with the adapter and a new head on the model.

        Args:
            config: The run's settings.
            base: The base model with a head that is not trained yet (`load_classifier`).
            rows: Tokenized training rows.
            classifier: The labels, which are saved with every adapter.
            ranks: The processes that train the run together.
            **options: Passed to SFTTrainer; "args" is the SFTConfig.
        """
        self.classifier = classifier
        # Rows by true class and predicted class, while the held-out rows are evaluated.
        self._confusion: torch.Tensor | None = None
        super().__init__(config, base, rows, ranks=ranks, **options)
        # Trainer then divides the loss by the rows of an update, even if the model's forward pass takes no such number.
        self.model_accepts_loss_kwargs = True
        self.notes = [*self.notes, _NOT_USED]

    def choose_layout(self, base: LoadedBase, config: QLoRAConfig) -> Layout:
        """Return whether rows are padded or go through the model one at a time, by a probe."""
        plain = base.model.config._attn_implementation
        own = f"the model's own attention ({plain})"
        if pads_right(base.model, self.pad_id):
            return Layout("padded", plain, f"Rows are padded, with {own}.")
        why = "in a padded batch they give other probabilities than each by itself"
        return Layout("single", plain, f"Rows go through the model one at a time, with {own}: {why}.")

    def find_head(self) -> None:
        """Return None, because a classifier needs the logits of all its labels."""

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of some rows, with their numbers."""
        return pad_labeled(rows, self.pad_id) | {"row_numbers": [row["row"] for row in rows]}

    def count_loss(self, rows: list[dict[str, Any]]) -> int:
        """Return the number of rows, each of which has one label."""
        return len(rows)

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Any:
        """Return the number of rows of an update, of all ranks: the loss is divided by it."""
        rows = sum(batch["loss_tokens"] if "loss_tokens" in batch else len(batch["labels"]) for batch in batch_samples)
        return torch.tensor(rows, device=device)

    def summed_loss(self, inputs: dict[str, Any], objective: Objective = CROSS_ENTROPY) -> tuple[torch.Tensor, int]:
        """Return the summed loss of a batch (scalar, float32), and how many rows carried it."""
        self._scale_noise(inputs)
        logits = self._logits(inputs)  # (rows, labels)
        labels = inputs["labels"]  # (rows,)
        if self._confusion is not None and (labels >= 0).all():
            index = torch.stack([labels, logits.argmax(dim=1)]).cpu()  # (2, rows)
            self._confusion.index_put_(tuple(index), torch.ones(len(labels), dtype=torch.int64), accumulate=True)
        return class_cross_entropy(logits, labels, objective)

    def _logits(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Return the logits of a batch, (rows, labels)."""
        # transformers' Trainer sets the tokenizer's padding token, for which the model may have no embedding.
        self.model.config.pad_token_id = self.pad_id
        with self.compute_dtype_context():
            one_by_one = self.layout.kind == "single"
            return class_logits(self.model, inputs["input_ids"], inputs["attention_mask"], one_by_one)

    def evaluate_held_out(
        self, rows: list[dict[str, Any]], batch_size: int, on_batch: Callable[[float], None] = lambda share: None
    ) -> dict[str, float]:
        """Return loss, accuracy and macro-F1 of an evaluation pass."""
        count = len(self.classifier.id2label)
        self._confusion = torch.zeros(count, count, dtype=torch.int64)
        try:
            loss = self.held_out_loss(rows, batch_size, on_batch)
            confusion = torch.stack(self.ranks.all_gather(self._confusion)).sum(dim=0)  # (true, predicted)
        finally:
            self._confusion = None
        return {"loss": loss, **metrics_of(confusion)}

    def answer_samples(self, questions: list[str], max_new_tokens: int) -> list[str]:
        """Return the most probable labels of each text, as a line of text."""
        tokenizer, limit = self.processing_class, self.classifier.max_length
        ids = [encode_text(tokenizer, self.classifier.frame.text_of(text) or text, limit)[0] for text in questions]
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            batch = self._prepare_inputs(pad_texts(ids, self.pad_id))
            probabilities = self._logits(batch).float().softmax(dim=1).tolist()  # (texts, labels)
        self.model.train(was_training)
        return [_describe(row, self.classifier.labels) for row in probabilities]

    def shorten(self, row: dict[str, Any], max_tokens: int) -> dict[str, Any]:
        """Return the first tokens of a row, with its label."""
        return row | {"input_ids": row["input_ids"][:max_tokens]}

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the adapter with the head, and the labels."""
        super().save_model(output_dir, _internal_call)
        self.classifier.write(Path(output_dir or self.args.output_dir))


def metrics_of(confusion: torch.Tensor) -> dict[str, float]:
    """Return accuracy and macro-F1 of a confusion matrix, (true, predicted).

    Macro-F1 is the mean of the F1 scores of all classes that occur as a true or a predicted label, as scikit-learn's
    `f1_score(average="macro")` has it.
    """
    right = confusion.diagonal().double()  # (classes,)
    # 2 TP / (2 TP + FP + FN): each row counts once as its true class and once as its predicted one.
    both = (confusion.sum(dim=0) + confusion.sum(dim=1)).double()  # (classes,)
    scores = 2 * right[both > 0] / both[both > 0]
    return {"accuracy": (right.sum() / confusion.sum()).item(), "macro_f1": scores.mean().item()}


def _describe(probabilities: list[float], labels: list[str]) -> str:
    """Return the most probable labels, such as "positive 93.1%, negative 6.9%"."""
    order = sorted(zip(probabilities, labels, strict=True), key=lambda pair: -pair[0])
    return ", ".join(f"{label} {share:.1%}" for share, label in order[:_SHOWN_LABELS])
