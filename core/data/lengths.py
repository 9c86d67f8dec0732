"""Token counts of every row under a tokenizer and chat template, and statistics for training.

    readings/<key>/tokens/<key>.parquet   row, tokens, answer_tokens, refused (why the template refuses the row)

The rows are counted once, on all cores, by the renderer that training uses.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from core.data import parse_rows
from core.data.formats import Reading, from_stored
from core.data.parallel import map_row_groups
from core.data.table import Dataset
from core.data.tokens import Renderer, TemplateError, TemplateName
from core.models import catalogue, embedded
from core.settings import Settings
from core.system.files import replacing

SCHEMA = pa.schema(
    [("row", pa.int64()), ("tokens", pa.int32()), ("answer_tokens", pa.int32()), ("refused", pa.string())]
)
# Columns of the counts by which rows can be filtered, sorted and selected.
COUNTED_COLUMNS = ("tokens", "answer_tokens")


@dataclass(frozen=True)
class TokenizerSpec:
    """Tokenizer and chat template that determine the lengths.

    Attributes:
        model: Name of the model whose tokenizer is used.
        template: Name of the chat template.
    """

    model: str
    template: TemplateName = "auto"


# Files of a model that determine how a text is templated and tokenized; the first one must exist.
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "additional_chat_templates/tool_use.jinja",
)  # fmt: skip
# Increase it when core.data.tokens gives other tokens: rows are counted again then.
_RENDERER_VERSION = 2


def path_of(settings: Settings, data: Dataset, reading: Reading, tokens: TokenizerSpec) -> Path | None:
    """Return the path of the counts, or None if the tokenizer is not on this machine.

    The name of the file is a hash of the tokenizer's files, so a changed tokenizer has counts of its own.
    """
    from huggingface_hub import try_to_load_from_cache

    # Looking for counts must not start the conversion of the embedded model.
    if tokens.model == embedded.NAME and not embedded.is_prepared(settings):
        return None
    model = catalogue.find(settings, tokens.model)
    digest = hashlib.sha256(f"{_RENDERER_VERSION} {tokens.template}".encode())
    found = 0
    for name in _TOKENIZER_FILES:
        path = Path(model.path) / name if model.local else try_to_load_from_cache(model.path, name)
        if isinstance(path, (str, Path)) and Path(path).is_file():
            digest.update(name.encode() + Path(path).read_bytes())
            found += name == _TOKENIZER_FILES[0]
    if not found:
        return None
    return parse_rows.folder(settings, data.id, reading) / "tokens" / f"{digest.hexdigest()[:12]}.parquet"


def _renderer(settings: Settings, tokens: TokenizerSpec) -> Renderer:
    from core.models.loading import load_tokenizer

    return Renderer(load_tokenizer(catalogue.find(settings, tokens.model)), tokens.template)


def count_tokens(
    settings: Settings,
    data: Dataset,
    reading: Reading,
    tokens: TokenizerSpec,
    progress: Callable[[float], None] = lambda share: None,
) -> Path:
    """Count the tokens of every row, unless they were counted before.

    Args:
        settings: The studio's settings.
        data: The dataset.
        reading: How its rows are parsed.
        tokens: The tokenizer and the template.
        progress: Callback for the share of rows that are counted, 0 to 1.

    Returns:
        The path of the file.
    """
    # Downloads the tokenizer if necessary: the path is a hash of its files.
    _renderer(settings, tokens)
    target = path_of(settings, data, reading, tokens)
    assert target is not None
    source = parse_rows.folder(settings, data.id, reading) / "rows.parquet"
    target.parent.mkdir(exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
        if target.is_file():
            return target
        with replacing(target) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            columns = ["row", "problem", "messages"]
            for counted in map_row_groups(source, columns, make_counter, (settings, tokens), progress):
                writer.write_table(counted)
    return target


def make_counter(settings: Settings, tokens: TokenizerSpec) -> Callable[[pa.Table], pa.Table]:
    """Return a function from a group of parsed rows to their token counts."""
    renderer = _renderer(settings, tokens)

    def count_group(group: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([_count_row(renderer, record) for record in group.to_pylist()], schema=SCHEMA)

    return count_group


def _count_row(renderer: Renderer, record: dict) -> dict:
    empty = {"row": record["row"], "tokens": None, "answer_tokens": None, "refused": None}
    if record["problem"] is not None:
        return empty
    try:
        rendered = renderer.render(from_stored(record["messages"]))
    except TemplateError as error:
        return empty | {"refused": str(error)}
    return empty | {"tokens": rendered.length, "answer_tokens": rendered.loss_tokens}


@dataclass(frozen=True)
class LengthSummary:
    """Statistics of the lengths of the usable rows.

    Attributes:
        rows: Number of rows with a length.
        tokens: Total number of tokens.
        answer_tokens: Total number of tokens that carry loss.
        median: Median length in tokens.
        longest: Greatest length in tokens.
        truncated: Number of rows longer than the maximum length.
        lost_tokens: Number of tokens beyond the maximum length.
        padding: Share of padding in a padded batch (see `padding_share`).
        refused: Number of rows that the chat template refuses.
        edges: Edges of the histogram bins, in tokens. (bins + 1,)
        counts: Number of rows per bin. (bins,)
    """

    rows: int
    tokens: int
    answer_tokens: int
    median: int
    longest: int
    truncated: int
    lost_tokens: int
    padding: float
    refused: int
    edges: list[int]
    counts: list[int]


_BINS = 40


def summarize(path: Path, max_length: int, batch: int, chosen: list[int] | None = None) -> LengthSummary:
    """Return the statistics of a file of counts.

    Args:
        path: The file.
        max_length: Number of tokens at which training truncates a row.
        batch: Rows per batch, for the share of padding.
        chosen: Numbers of the rows to include; None for all.
    """
    read = pq.read_table(path)
    if chosen is not None:
        read = read.filter(pa.compute.is_in(read["row"], pa.array(chosen, pa.int64())))
    refused = len(read) - read["refused"].null_count
    kept = read.filter(read["tokens"].is_valid())
    tokens, answers = kept["tokens"].to_numpy(), kept["answer_tokens"].to_numpy()
    if not len(tokens):
        return LengthSummary(0, 0, 0, 0, 0, 0, 0, 0.0, refused, [0, 1], [0])
    # The last bin also counts the longest half percent of the rows.
    far = int(max(np.quantile(tokens, 0.995), 1))
    # Rows of about the same length would leave most of an axis empty that begins at 0.
    shortest = int(tokens.min())
    begin = shortest if 2 * shortest > far else 0
    edges = np.linspace(begin, max(far, begin + _BINS), _BINS + 1).astype(int)
    counts, _ = np.histogram(np.minimum(tokens, edges[-1]), edges)
    trained = np.minimum(tokens, max_length)
    return LengthSummary(
        rows=len(tokens),
        tokens=int(tokens.sum()),
        answer_tokens=int(answers.sum()),
        median=int(np.median(tokens)),
        longest=int(tokens.max()),
        truncated=int((tokens > max_length).sum()),
        lost_tokens=int((tokens - trained).sum()),
        padding=padding_share(trained, batch),
        refused=refused,
        edges=edges.tolist(),
        counts=counts.tolist(),
    )


def padding_share(lengths: np.ndarray, batch: int) -> float:
    """Return the expected share of padding in random batches that are padded to their longest row.

    The maximum of b samples from n sorted lengths x is x_k with probability (k/n)^b - ((k-1)/n)^b (order statistics of
    an empirical distribution). A batch has b E[maximum] positions, of which b E[x] are tokens.

    Args:
        lengths: Lengths of the rows in tokens. (rows,)
        batch: Number of rows per batch, b in the formula.
    """
    ordered = np.sort(lengths).astype(float)
    ranks = np.arange(len(ordered) + 1) / len(ordered)
    longest = float((ordered * np.diff(ranks**batch)).sum())
    return 1 - float(ordered.mean()) / longest
