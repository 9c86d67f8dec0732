"""Tables of a classification: accuracy, macro-F1, one row per label, the confusion matrix, and calibration.

Definitions as in scikit-learn's user guide, "Classification metrics". An answer without a label counts as wrong
everywhere and has a column of its own in the confusion matrix.
"""

from dataclasses import dataclass

import numpy as np

# Number of an answer that names no label.
UNPARSED = -1


@dataclass(frozen=True)
class LabelRow:
    """Recognition of one label.

    Attributes:
        name: The label.
        rows: Rows with this label.
        predicted: Answers that name it.
        precision: Share of these answers that are right; None without any.
        recall: Share of its rows that were recognized; None without any.
        f1: Harmonic mean of both, 2 · right / (rows + predicted); None without rows and answers.
    """

    name: str
    rows: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class ClassificationTable:
    """The result of one lane.

    Attributes:
        accuracy: Share of right answers.
        macro_f1: Mean of the F1 of all labels that occur in rows or answers.
        unparsed: Share of answers that name no label.
        labels: One row per label.
        confusion: (labels, labels + 1), int64: rows with label i that were answered with label j; the last column
            counts answers without a label.
    """

    accuracy: float
    macro_f1: float
    unparsed: float
    labels: list[LabelRow]
    confusion: np.ndarray


def tabulate(names: list[str], true: np.ndarray, predicted: np.ndarray) -> ClassificationTable:
    """Return the tables of a lane.

    Args:
        names: The labels.
        true: (n,) number of the right label of each row.
        predicted: (n,) number of the label that was answered, or UNPARSED.

    Raises:
        ValueError: There is no row, or the shapes differ.
    """
    if true.shape != predicted.shape or not len(true):
        raise ValueError(f"{len(true)} labels and {len(predicted)} answers; expected as many, and at least one")
    size = len(names)
    confusion = np.zeros((size, size + 1), np.int64)
    np.add.at(confusion, (true, np.where(predicted == UNPARSED, size, predicted)), 1)
    right, rows, answers = np.diag(confusion), confusion.sum(axis=1), confusion[:, :size].sum(axis=0)
    labels = [
        LabelRow(
            name, int(rows[i]), int(answers[i]), _divide(right[i], answers[i]), _divide(right[i], rows[i]),
            _divide(2 * right[i], rows[i] + answers[i]),
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    scores = [label.f1 for label in labels if label.f1 is not None]
    unparsed = int(confusion[:, size].sum())
    return ClassificationTable(
        float(right.sum() / len(true)),
        float(np.mean(scores)) if scores else 0.0,
        unparsed / len(true),
        labels,
        confusion,
    )


def _divide(count: int, total: int) -> float | None:
    return float(count / total) if total else None


@dataclass(frozen=True)
class CalibrationBin:
    """Rows whose highest probability lies in one range.

    Attributes:
        low: Lower end of the range.
        high: Upper end of the range.
        rows: Number of rows.
        confidence: Mean of their highest probabilities.
        accuracy: Share of them that are right.
    """

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


def calibrate(probabilities: np.ndarray, true: np.ndarray, bins: int = 10) -> tuple[list[CalibrationBin], float]:
    """Return the reliability diagram of constrained choice, and the expected calibration error.

    The error is the mean distance of confidence and accuracy over the bins, weighted by their rows (Guo et al. 2017,
    "On Calibration of Modern Neural Networks", equation 3). Bins have equal widths; empty ones are left out.

    Args:
        probabilities: (n, labels), each row sums to 1.
        true: (n,) number of the right label of each row.
        bins: Number of ranges between 0 and 1.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    # The upper end belongs to a bin, as in the paper; a confidence of 0 cannot occur.
    at = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found = [
        CalibrationBin(
            index / bins, (index + 1) / bins, int((at == index).sum()), float(confidence[at == index].mean()),
            float(right[at == index].mean()),
        )
        for index in range(bins)
        if (at == index).any()
    ]  # fmt: skip
    error = sum(each.rows * abs(each.accuracy - each.confidence) for each in found) / len(true) if len(true) else 0.0
    return found, float(error)
