"""Losses of every row under a base model and under the adapter of a run, as columns of a dataset.

    readings/<key>/losses/<key>.jsonl     one flushed line per row and lane while a measurement runs or is cancelled
    readings/<key>/losses/<key>.parquet   SCHEMA, sorted by row, written when the measurement is complete

A file is that of one `LossSource`, whose hash is its name: all usable rows under a base model, or the rows that a run
trains on under its base and its adapter. `core.evaluate.row_losses` writes the files; here they are found and
described. A loss is the mean over the tokens of a row that training computes its loss on, in nats.

A row of a run belongs to one of four classes. A loss is the negative logarithm of the geometric mean probability of a
token, so the thresholds are those of a probability:

    known           base loss at most 0.693 (ln 2): the base gives the tokens a mean probability of one half or more
    learned         else, if the loss fell by at least 0.223 (ln 1.25): the mean probability grew by a quarter or more
    never learned   else, if it fell by less than 0.049 (ln 1.05): the mean probability grew by less than a twentieth
    in between      else

Low probability of the given answer throughout training marks the "hard-to-learn" rows of dataset cartography, among
which wrong labels are frequent (Swayamdipta et al. 2020, https://aclanthology.org/2020.emnlp-main.746); that wrong
labels keep a high loss while right ones are fitted is also what noisy-label training uses (Arpit et al. 2017,
https://arxiv.org/abs/1706.05394). These works take probabilities over epochs and relative shares of the rows; the
absolute thresholds here are this project's choice, so that a row's class depends on no other row.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.access import roles
from core.data import parse_rows
from core.data.formats import Reading
from core.data.table import Dataset
from core.data.tokens import TemplateName
from core.errors import StudioError
from core.settings import Settings
from core.system.files import log_unreadable, modified_ns

# `tuned_loss` is null in the file of a base alone; both losses are null where `note` says why a row has none.
SCHEMA = pa.schema(
    [
        ("row", pa.int64()), ("base_loss", pa.float64()), ("tuned_loss", pa.float64()), ("tokens", pa.int32()),
        ("truncated", pa.bool_()), ("note", pa.string()),
    ]
)  # fmt: skip
SOURCE_KEY, SPEED_KEY = b"studio.losses", b"studio.tokens_per_second"
KNOWN_LOSS = round(math.log(2), 3)
LEARNED_FALL = round(math.log(1.25), 3)
NEVER_FALL = round(math.log(1.05), 3)
KNOWN, LEARNED, BETWEEN, NEVER = "known", "learned", "in between", "never learned"
THRESHOLDS = {
    KNOWN: f"base loss at most {KNOWN_LOSS:g}: a token of the answer has a mean probability of 50 % or more",
    LEARNED: f"base loss above {KNOWN_LOSS:g}, and it fell by {LEARNED_FALL:g} or more: the probability grew by 25 %",
    BETWEEN: f"base loss above {KNOWN_LOSS:g}, and it fell by {NEVER_FALL:g} to {LEARNED_FALL:g}",
    NEVER: f"base loss above {KNOWN_LOSS:g}, and it fell by less than {NEVER_FALL:g}: often a wrong label",
}
BASE_COLUMNS = ("base_loss", "loss_tokens", "loss_truncated")
RUN_COLUMNS = ("tuned_loss", "loss_fall", "learning")
# Columns by which rows can be filtered, sorted and selected once the losses are measured.
LOSS_COLUMNS = (*BASE_COLUMNS, *RUN_COLUMNS)
# Increase it when `core.data.tokens` gives other tokens or labels: rows are measured again then.
_VERSION = 1


class LossSource(BaseModel):
    """Everything that decides the losses of the rows of a reading.

    Attributes:
        base: Key of the base model (`core.chat.types.BaseIdentity.key`).
        template: Name of the chat template.
        max_length: Number of tokens at which a row is truncated.
        answers_only: Whether only answers carry loss.
        run: Run whose adapter is measured, too; empty for the base alone.
        adapter: Name of the adapter within the run.
        adapter_sha256: Hash of its weights, since a resumed run replaces its adapter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = Field(max_length=2_000)
    template: TemplateName = "auto"
    max_length: int = Field(ge=1)
    answers_only: bool = True
    run: str = ""
    adapter: str = ""
    adapter_sha256: str = ""

    @property
    def key(self) -> str:
        """Return the name of the file."""
        return hashlib.sha256(f"{_VERSION}{self.model_dump_json()}".encode()).hexdigest()[:12]

    @property
    def model(self) -> str:
        """Return the name of the base model."""
        try:
            return str(json.loads(self.base)[0])
        except (ValueError, IndexError, KeyError, TypeError):
            # Anyone may have written the recipe. A base in another form has no losses here, which `find` reports.
            return self.base

    def describe(self) -> str:
        """Return the source in words."""
        parts = [self.model, f"template {self.template}", f"{self.max_length:,} tokens at most"]
        if not self.answers_only:
            parts.append("loss on all tokens")
        text = ", ".join(parts)
        return f"{text}, and its run {self.run} ({self.adapter})" if self.run else text


def folder(settings: Settings, data: Dataset, reading: Reading) -> Path:
    """Return the folder of the losses of a reading."""
    return parse_rows.folder(settings, data.id, reading) / "losses"


def path_of(settings: Settings, data: Dataset, reading: Reading, source: LossSource) -> Path:
    """Return the path of the Parquet file of a source, whether it exists or not."""
    return folder(settings, data, reading) / f"{source.key}.parquet"


def find(settings: Settings, data: Dataset, reading: Reading, source: LossSource) -> Path:
    """Return the Parquet file of a source.

    Raises:
        StudioError: It is not on this machine.
    """
    path = path_of(settings, data, reading, source)
    if path.is_file():
        return path
    raise StudioError(
        f"The losses of the rows of {data.id} under {source.describe()} are not on this machine: they were never "
        "measured here, or were deleted. Measure them under Token statistics in the Data tab, or with: "
        f"python -m core data loss {data.id}"
    )


def available(settings: Settings, data: Dataset, reading: Reading) -> list[LossSource]:
    """Return the sources with files that the caller may see, the newest first; a visitor sees no run's."""
    paths = sorted(folder(settings, data, reading).glob("[!.]*.parquet"), key=modified_ns, reverse=True)
    found = []
    for path in paths:
        try:
            source = LossSource.model_validate_json(pq.read_schema(path).metadata[SOURCE_KEY])
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            log_unreadable(path, str(error))
            continue
        # Files of an earlier version of the renderer have another name than their source has now.
        if path.stem != source.key or (source.run and not roles.caller().is_owner):
            continue
        found.append(source)
    return found


def measured_speed(settings: Settings, data: Dataset, reading: Reading, base: str) -> float | None:
    """Return the tokens per second of the newest measurement under a base on this dataset; None if there is none."""
    for source in available(settings, data, reading):
        if source.base == base:
            metadata = pq.read_schema(path_of(settings, data, reading, source)).metadata
            if speed := float(metadata.get(SPEED_KEY, b"0")):
                return speed
    return None


@dataclass(frozen=True)
class LossSummary:
    """Statistics of a file of losses.

    Attributes:
        rows: Number of rows with a loss.
        truncated: Number of those that are truncated.
        base: Median base loss in nats per token; None if no row has a loss.
        tuned: Median loss under the run's adapter; None without a run.
        classes: Number of rows by class, in the order of THRESHOLDS; empty without a run.
        missing: Number of rows without a loss by reason.
    """

    rows: int
    truncated: int
    base: float | None
    tuned: float | None
    classes: dict[str, int]
    missing: dict[str, int]

    @property
    def caution(self) -> str:
        """Return why rows that were never learned need not have wrong labels; empty if there is no such reason."""
        if self.classes.get(NEVER, 0) <= self.classes.get(LEARNED, 0):
            return ""
        return "more rows were never learned than learned: the run itself learned little, so few labels need be wrong"


def summarize(path: Path, source: LossSource) -> LossSummary:
    """Return the statistics of a file of losses.

    Args:
        path: The file.
        source: Its source.
    """
    with duckdb.connect() as base:
        rows, truncated, median, tuned = base.execute(
            "SELECT count(base_loss), count(*) FILTER (truncated AND base_loss IS NOT NULL), median(base_loss), "
            "median(tuned_loss) FROM read_parquet($file)",
            {"file": str(path)},
        ).fetchone()
        missing = base.execute(
            "SELECT coalesce(note, 'no loss'), count(*) FROM read_parquet($file) WHERE base_loss IS NULL "
            "GROUP BY 1 ORDER BY 2 DESC, 1",
            {"file": str(path)},
        ).fetchall()
        counted = dict(
            base.execute(
                f"SELECT {learning_sql()} AS class, count(*) FROM read_parquet($file) losses GROUP BY 1",
                {"file": str(path)},
            ).fetchall()
        )
    classes = {name: counted.get(name, 0) for name in THRESHOLDS} if source.run else {}
    return LossSummary(rows, truncated, median, tuned, classes, dict(missing))


def learning_sql() -> str:
    """Return the SQL expression of a row's class, over the file of a run by the name "losses"."""
    fall = "(losses.base_loss - losses.tuned_loss)"
    return (
        f"CASE WHEN {fall} IS NULL THEN NULL "
        f"WHEN losses.base_loss <= {KNOWN_LOSS} THEN '{KNOWN}' WHEN {fall} >= {LEARNED_FALL} THEN '{LEARNED}' "
        f"WHEN {fall} < {NEVER_FALL} THEN '{NEVER}' ELSE '{BETWEEN}' END"
    )
