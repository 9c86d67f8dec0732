"""How many tokens every row has under a tokenizer and template, counted once by all cores, and what that means.

readings/<key>/tokens/<key>.parquet   row, tokens, answer_tokens, refused (why the template would not have it)
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


@dataclass(frozen=True)
class TokenizerSpec:
    """The tokenizer and template that lengths are counted under."""

    model: str
    template: TemplateName = "auto"


# What decides how a text is tokenized and templated, of the files of a model.
_DECIDING = (
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "additional_chat_templates/tool_use.jinja",
)  # fmt: skip
_RENDERER_VERSION = 2  # counts made by an earlier renderer are not found again


def path_of(settings: Settings, data: Dataset, reading: Reading, tokens: TokenizerSpec) -> Path | None:
    """Where the counts are kept, or None while the tokenizer is not on this machine.

    The name comes from the tokenizer's own files, so that a changed one has counts of its own.
    """
    from huggingface_hub import try_to_load_from_cache

    if tokens.model == embedded.NAME and not embedded.is_prepared(settings):
        return None  # looking for counts is no reason to convert a model
    model = catalogue.find(settings, tokens.model)
    digest = hashlib.sha256(f"{_RENDERER_VERSION} {tokens.template}".encode())
    found = 0
    for name in _DECIDING:
        path = Path(model.path) / name if model.local else try_to_load_from_cache(model.path, name)
        if isinstance(path, (str, Path)) and Path(path).is_file():
            digest.update(name.encode() + Path(path).read_bytes())
            found += name == _DECIDING[0]
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
    at: Callable[[float], None] = lambda share: None,
) -> Path:
    """Count the tokens of every row, once; the file is found again afterwards."""
    _renderer(settings, tokens)  # fetched, if it must be, before anything is named after it
    target = path_of(settings, data, reading, tokens)
    assert target is not None
    source = parse_rows.folder(settings, data.id, reading) / "rows.parquet"
    target.parent.mkdir(exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
        if target.is_file():
            return target
        with replacing(target) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            columns = ["row", "problem", "messages"]
            for counted in map_row_groups(source, columns, make_counter, (settings, tokens), at):
                writer.write_table(counted)
    return target


def make_counter(settings: Settings, tokens: TokenizerSpec) -> Callable[[pa.Table], pa.Table]:
    """What turns a group of read rows into their numbers of tokens."""
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
    """What the lengths of the usable rows mean for training.

    Attributes:
        truncated: rows longer than `max_length`.
        padding: the share of a padded batch that is padding, see `padding_share`.
        edges, counts: a histogram of the lengths.
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
    """The numbers of a file of counts, of the rows in `chosen` or of all."""
    read = pq.read_table(path)
    if chosen is not None:
        read = read.filter(pa.compute.is_in(read["row"], pa.array(chosen, pa.int64())))
    refused = len(read) - read["refused"].null_count
    kept = read.filter(read["tokens"].is_valid())
    tokens, answers = kept["tokens"].to_numpy(), kept["answer_tokens"].to_numpy()
    if not len(tokens):
        return LengthSummary(0, 0, 0, 0, 0, 0, 0, 0.0, refused, [0, 1], [0])
    far = int(max(np.quantile(tokens, 0.995), 1))
    edges = np.linspace(0, max(far, _BINS), _BINS + 1).astype(int)
    counts, _ = np.histogram(np.minimum(tokens, edges[-1]), edges)
    cut = np.minimum(tokens, max_length)
    return LengthSummary(
        rows=len(tokens),
        tokens=int(tokens.sum()),
        answer_tokens=int(answers.sum()),
        median=int(np.median(tokens)),
        longest=int(tokens.max()),
        truncated=int((tokens > max_length).sum()),
        lost_tokens=int((tokens - cut).sum()),
        padding=padding_share(cut, batch),
        refused=refused,
        edges=edges.tolist(),
        counts=counts.tolist(),
    )


def padding_share(lengths: np.ndarray, batch: int) -> float:
    """The share of padding in batches of `batch` rows drawn at random and padded to their longest.

    The longest of b draws from n sorted lengths x is x_k with probability (k/n)^b - ((k-1)/n)^b (the order statistics
    of an empirical distribution), so a batch holds b E[longest] places, of which b E[x] are tokens.
    """
    ordered = np.sort(lengths).astype(float)
    ranks = np.arange(len(ordered) + 1) / len(ordered)
    longest = float((ordered * np.diff(ranks**batch)).sum())
    return 1 - float(ordered.mean()) / longest
