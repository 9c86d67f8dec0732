"""Which prompts an evaluation asks: made once into a file, so that whatever becomes of their source, all lanes are
asked the same, before and after a crash.

A conversation that ends on an answer is asked up to it, and the answer is the reference. One that ends otherwise is
asked as it is, also without a user turn: the model's chat template decides whether it can be.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.data import formats, subset
from core.data.formats import Message, UnusableRow
from core.data.ingest import DETECTION_ROWS, replace_surrogates
from core.data.readers import read_rows
from core.data.table import HELD_OUT, TRAIN
from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.runs.holdout import hold_out
from core.runs.store import RunStore
from core.system.files import replacing


@dataclass(frozen=True)
class Prompt:
    """One thing to ask.

    Attributes:
        messages: the conversation, ending on another turn than an answer.
        reference: the answer that the data has; empty for none.
        row: its number in the source.
    """

    messages: list[Message]
    reference: str = ""
    row: int = 0

    @property
    def question(self) -> str:
        return self.messages[-1]["content"]


def parse_prompt(messages: list[Message], row: int) -> Prompt | None:
    """What a conversation asks; None when nothing is asked in it."""
    if formats.is_plain(messages):
        text = messages[0]["content"]
        return Prompt([{"role": "user", "content": text}], row=row) if text.strip() else None
    reference = ""
    if messages and messages[-1]["role"] == "assistant":
        reference, messages = messages[-1]["content"], messages[:-1]
    if not formats.ends_on_user(messages) or not messages[-1]["content"].strip():
        return None
    return Prompt(list(messages), reference, row)


def write(path: Path, store: RunStore, config: EvaluationConfig, file: Path | None = None) -> tuple[int, list[str]]:
    """Write the prompts of a set, one a line; how many, and what was left out.

    Args:
        file: the uploaded list, where that is asked; `config.file` is what the user calls it.

    Raises:
        StudioError: no such run, subset or file, or no prompt in it.
    """
    left_out: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    count = 0
    found = _of_file(file, config.file, left_out, notes) if config.prompts == "file" else _of_rows(store, config)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        for row, messages in found:
            prompt = parse_prompt(messages, row) if messages else None
            if prompt is None:
                left_out["nothing is asked"] += bool(messages)
                continue
            if count == config.limit:
                break
            line = {"messages": prompt.messages, "reference": prompt.reference, "row": prompt.row}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    words = [f"{number:,} rows of the source are not asked: {why}." for why, number in left_out.items() if number]
    words += [f"{number:,} rows: {note}." for note, number in notes.items()]
    if not count:
        path.unlink()
        raise StudioError(f"There is no prompt in {_named(config)}. {' '.join(words)} Choose another set.")
    return count, words


def _named(config: EvaluationConfig) -> str:
    if config.prompts == "file":
        return f"the file {config.file!r}"
    if config.prompts == "subset":
        return f"the subset {config.subset!r}"
    return f"the held-out rows of {config.prompt_run}"


def describe(config: EvaluationConfig) -> str:
    """Which prompts, for a person."""
    rows = {"all": "all rows", "held-out": "the held-out rows", "train": "the rows to train on"}[config.split]
    return f"{rows} of the subset {config.subset}" if config.prompts == "subset" else _named(config)


def _of_rows(store: RunStore, config: EvaluationConfig) -> Iterator[tuple[int, list[Message]]]:
    if config.prompts == "subset":
        wanted = {"all": {TRAIN, HELD_OUT}, "held-out": {HELD_OUT}, "train": {TRAIN}}[config.split]
        for split, row, messages in subset.stream(store.settings, config.subset):
            if split in wanted:
                yield row, messages
        return
    run = store.run(config.prompt_run)
    knobs = run.config()
    rows = subset.load(store.settings, knobs.subset)
    hold_out(knobs, rows)  # the same rows that the run held out itself, where the subset holds none out
    yield from rows[HELD_OUT]


def _of_file(
    file: Path | None, name: str, left_out: Counter[str], notes: Counter[str]
) -> Iterator[tuple[int, list[Message]]]:
    """Yield the prompts of an uploaded file with their numbers.

    Args:
        left_out: counts rows that cannot be asked, by reason.
        notes: counts what was changed or is not used, by sentence.

    Raises:
        StudioError: there is no such file, no text in it, or no format is sure.
    """
    if file is None or not file.is_file():
        raise StudioError(f"There is no file {name!r}. Expected one of prompts, such as a text with one a line.")
    rows = enumerate(read_rows(file, name, note=lambda words: notes.update([words])))
    head = list(itertools.islice(rows, DETECTION_ROWS))
    detected = formats.detect([read.row for _, read in head if read.row is not None], prompts_only=True)
    if detected is None:
        raise StudioError(f"No text in {name!r}. Expected a prompt a line, or rows with a column of prompts.")
    if not detected.is_sure:
        raise StudioError(
            f"{name!r} cannot be used as it is: {detected.evidence} in the Data tab, create a subset, and evaluate it."
        )
    for number, read in itertools.chain(head, rows):
        if read.row is None:
            left_out["cannot be read"] += 1
            continue
        try:
            messages, found, unread = detected.reading.read(read.row)
        except UnusableRow as error:
            left_out[str(error)] += 1
            continue
        notes.update([*found, *(f"the column {column!r} is not used" for column in unread)])
        yield number, [{"role": m["role"], "content": replace_surrogates(m["content"])} for m in messages]


class Prompts:
    """The prompts of an evaluation, read one at a time: a long list takes no memory but the place of each line."""

    def __init__(self, path: Path):
        self._path = path
        with path.open("rb") as stream:
            self._places = [0, *itertools.accumulate(len(line) for line in stream)][:-1]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Prompt:
        with self._path.open("rb") as stream:
            stream.seek(self._places[number])
            return Prompt(**json.loads(stream.readline()))

    def __iter__(self) -> Iterator[Prompt]:
        with self._path.open("rb") as stream:
            for line in stream:
                yield Prompt(**json.loads(line))
