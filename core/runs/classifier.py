"""classifier.json: the labels of a run that trains a classifier, and all that reading a text for it takes.

It is in the folder of the run, written by the worker before the first step, and in the folder of every adapter, so that
an exported adapter has it. `id2label` and `label2id` are as transformers' config takes them.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from core.data import labels as data_labels
from core.data import subset as subsets
from core.data.formats import Message
from core.data.labels import Classes, Frame, LabeledRows, Labels
from core.data.table import HELD_OUT, TRAIN
from core.errors import StudioError
from core.runs.config import QLoRAConfig
from core.settings import Settings
from core.system.counting import counted
from core.system.files import read_json, write_json

FILE = "classifier.json"
_NO_FRAME = "The dataset of the subset was removed, so the question around the texts is read as a part of them."


class Classifier(BaseModel):
    """Contents of classifier.json.

    Attributes:
        id2label: The labels by class.
        label2id: The classes by label.
        merge: Whether labels that differ only in case or spaces are the same.
        max_length: Tokens after which a text is truncated.
        pad_token_id: Token that texts of a batch are padded with.
        frame: The question that the dataset's reading writes around a text, which the classifier does not read.
    """

    id2label: dict[int, str]
    label2id: dict[str, int] = Field(default_factory=dict)
    merge: bool = True
    max_length: int
    pad_token_id: int
    frame: Frame = Frame()

    @property
    def labels(self) -> list[str]:
        """Return the labels in the order of their classes."""
        return [self.id2label[index] for index in range(len(self.id2label))]

    @property
    def classes(self) -> Classes:
        """Return the labels as the data has them."""
        return Classes(names=self.labels, merge=self.merge)

    def text_of(self, messages: Sequence[Message]) -> str:
        """Return the text that the classifier reads of a conversation: the last question without its frame."""
        return self.frame.text_of(messages[-1]["content"])

    def write(self, folder: Path) -> None:
        """Write the file into a folder."""
        write_json(folder / FILE, self.model_dump())


def is_classifier(folder: Path) -> bool:
    """Return whether the folder of a run or an adapter is of a classifier."""
    return (folder / FILE).is_file()


def read(folder: Path) -> Classifier:
    """Return the classifier of the folder of a run or an adapter.

    Raises:
        StudioError: The file is missing or damaged.
    """
    try:
        return Classifier.model_validate(read_json(folder / FILE))
    except (OSError, ValueError, ValidationError) as error:
        why = str(error).splitlines()[0]
        raise StudioError(f"{folder.name!r} has no readable {FILE} ({why}). Choose another checkpoint.") from error


class LabeledSubset:
    """Labeled rows of a run's subset.

    Attributes:
        frame: The question around the texts.
        train: Rows to train on.
        held_out: Held-out rows with a label of the rows to train on.
        labels: The labels.
        notes: Sentences on labels, and on rows that are not used.
    """

    def __init__(self, settings: Settings, config: QLoRAConfig, rows: dict[str, list]):
        """Read the labels.

        Args:
            settings: The studio's settings.
            config: The run's settings.
            rows: Conversations by split, as the run uses them.

        Raises:
            StudioError: No classifier can be trained on the labels.
        """
        self.notes: list[str] = []
        self.frame = self._find_frame(settings, config.subset)
        self.train = data_labels.read_labels(rows[TRAIN], self.frame)
        self.labels: Labels = data_labels.collect(self.train.rows, config.merge_labels)
        data_labels.require(self.labels, self.train.left_out, config.subset)
        self.held_out = self._known(data_labels.read_labels(rows[HELD_OUT][: config.eval_rows], self.frame))
        self.notes += data_labels.describe(self.labels)
        self.notes += [
            f"{counted(count, 'held-out row is', 'held-out rows are')} not used: {reason}."
            for reason, count in self.held_out.left_out.items()
        ]

    def _find_frame(self, settings: Settings, subset: str) -> Frame:
        try:
            return data_labels.frame_of(settings, subsets.find(settings, subset))
        except StudioError:
            self.notes.append(_NO_FRAME)
            return Frame()

    def _known(self, found: LabeledRows) -> LabeledRows:
        """Return held-out rows without those whose label no row to train on has."""
        classes = self.labels.classes
        known = [row for row in found.rows if classes.class_of(row.label) is not None]
        if unknown := len(found.rows) - len(known):
            found.left_out["no row to train on has their label"] += unknown
        return LabeledRows(known, found.left_out)

    def classifier(self, max_length: int, pad_token_id: int) -> Classifier:
        """Return the contents of classifier.json."""
        names = self.labels.classes.names
        return Classifier(
            id2label=dict(enumerate(names)),
            label2id={name: index for index, name in enumerate(names)},
            merge=self.labels.classes.merge,
            max_length=max_length,
            pad_token_id=pad_token_id,
            frame=self.frame,
        )
