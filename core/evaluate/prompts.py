"""The prompts of an evaluation, copied from their source into prompts.jsonl once.

All lanes therefore get the same prompts, also after a resume, whatever happens to the source. If a conversation ends on
an answer, the answer is the reference and the turns before it are the prompt. Any other conversation is used as it is,
also without a user turn: the model's chat template decides whether it can be rendered. With `turns: every`, each answer
of a conversation is the reference of a prompt of its own.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from core.data import formats, subset
from core.data.formats import Message, UnusableRow
from core.data.ingest import DETECTION_ROWS, replace_surrogates
from core.data.readers import read_rows
from core.data.table import HELD_OUT, TRAIN
from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.evaluate.probes.asking import append_probes
from core.evaluate.seen_prompts import describe_seen_prompts
from core.evaluate.source_columns import SourceColumns, read_columns
from core.runs.holdout import hold_out
from core.runs.store import RunStore
from core.system.counting import counted
from core.system.files import replacing
from core.system.jobs import Progress, ignore_progress


@dataclass(frozen=True)
class Prompt:
    """One prompt.

    Attributes:
        messages: The conversation; its last turn is not an answer.
        reference: The answer in the data; empty for none.
        row: Row number in the source; turns of one conversation share it.
        columns: Values of the columns of the source that group the prompts, by name.
        probe: Number of the probe that this prompt is (core.evaluate.probes); None for a prompt of the set.
    """

    messages: list[Message]
    reference: str = ""
    row: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    probe: int | None = None

    @property
    def question(self) -> str:
        """Return the text of the last turn."""
        return self.messages[-1]["content"]


def parse_prompt(messages: list[Message], row: int) -> Prompt | None:
    """Return the prompt of a conversation; None if it has none, such as an empty question."""
    if formats.is_plain(messages):
        text = messages[0]["content"]
        return Prompt([{"role": "user", "content": text}], row=row) if text.strip() else None
    reference = ""
    if messages and messages[-1]["role"] == "assistant":
        reference, messages = messages[-1]["content"], messages[:-1]
    if not formats.ends_without_answer(messages) or not messages[-1]["content"].strip():
        return None
    return Prompt(list(messages), reference, row)


def parse_turns(messages: list[Message], row: int) -> list[Prompt]:
    """Return a prompt for every answer of a conversation that carries loss, and for a question at its end."""
    answers = [at for at, turn in enumerate(messages) if turn["role"] == "assistant" and turn.get("loss") is not False]
    ends = sorted({*answers, len(messages) - 1}) if messages[-1]["role"] != "assistant" else answers
    found = [parse_prompt(messages[: end + 1], row) for end in ends]
    return [prompt for prompt in found if prompt]


def write(
    path: Path, store: RunStore, config: EvaluationConfig, file: Path | None = None,
    progress: Progress = ignore_progress,
) -> tuple[int, list[str]]:  # fmt: skip
    """Write the prompts of a set, one per line, and return their number and notes on what was left out.

    Args:
        path: The file to write.
        store: The runs.
        config: The settings that name the set and its limit.
        file: Path of the uploaded file, if `config.prompts` is "file"; `config.file` is its name for the user.
        progress: Called with the share of the limit that is written.

    Raises:
        StudioError: The run, subset or file does not exist, or contains no prompt.
    """
    left_out: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    columns = SourceColumns()
    if config.prompts == "file":
        conversations = _read_file(file, config.file, left_out, changes, columns)
    else:
        conversations = _read_rows(store, config)
    rows: list[int] = []
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        usable = _usable_prompts(conversations, config.turns, left_out, changes)
        for prompt in itertools.islice(usable, config.limit):
            line = {"messages": prompt.messages, "reference": prompt.reference, "row": prompt.row}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            rows.append(prompt.row)
            progress(len(rows) / config.limit, f"{counted(len(rows), 'prompt')}")
    notes = _describe_rest(left_out, changes)
    if not rows:
        path.unlink()
        raise StudioError(f"There is no prompt in {_describe_source(config)}. {' '.join(notes)} Choose another set.")
    notes += _add_columns(path, store, config, columns, rows) + describe_seen_prompts(store, config, rows)
    return len(rows) + append_probes(path, config, notes), notes


def _describe_rest(left_out: Counter[str], changes: Counter[str]) -> list[str]:
    """Return sentences about the rows that are not used, and about those that are used in another form."""
    unused = [
        f"{counted(count, 'row of the source is', 'rows of the source are')} not used: {reason}."
        for reason, count in left_out.items()
        if count
    ]
    return unused + [f"{counted(count, 'row')}: {change}." for change, count in changes.items()]


def _add_columns(
    path: Path, store: RunStore, config: EvaluationConfig, columns: SourceColumns, rows: list[int]
) -> list[str]:
    """Write the columns of the source into the lines of the prompts, and return sentences about them.

    It is done at the end, because only the last row shows which columns have few values.

    Args:
        path: The file of the prompts.
        store: The runs.
        config: The settings that name the set.
        columns: The columns of an uploaded file; those of a subset are read here.
        rows: Row of each prompt in the source.
    """
    if config.prompts == "file":
        notes = columns.finish().notes()
    else:
        name = config.subset if config.prompts == "subset" else store.run(config.prompt_run).config().subset
        columns, notes = read_columns(store.settings, name, set(rows))
    if columns:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
            for prompt in Prompts(path):
                line = asdict(prompt) | {"columns": columns.of_row(prompt.row)}
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    return notes


def _usable_prompts(
    conversations: Iterator[tuple[int, list[Message]]], turns: str, left_out: Counter[str], changes: Counter[str]
) -> Iterator[Prompt]:
    """Yield the prompts of the conversations, and count those that have none."""
    for row, messages in conversations:
        if not messages:
            continue
        if turns == "every":
            found = parse_turns(messages, row)
        else:
            found = [prompt] if (prompt := parse_prompt(messages, row)) else []
        left_out["there is no question"] += not found
        answers = sum(turn["role"] == "assistant" for turn in messages)
        if turns == "every" and 0 < len(found) < answers + (messages[-1]["role"] != "assistant"):
            changes["an answer that carries no loss, or follows another answer, is not asked for"] += 1
        yield from found


def _describe_source(config: EvaluationConfig, run_title: str = "") -> str:
    if config.prompts == "file":
        return f"the file {config.file!r}"
    if config.prompts == "subset":
        return f"the subset {config.subset!r}"
    return f"the held-out rows of {run_title or config.prompt_run}"


def describe(config: EvaluationConfig, run_title: str = "") -> str:
    """Return the source of the prompts in words.

    Args:
        config: The settings of the evaluation.
        run_title: Display name of the run whose held-out rows are the prompts; empty for its id.
    """
    rows = {"all": "all rows", "held-out": "the held-out rows", "train": "the training rows"}[config.split]
    return (
        f"{rows} of the subset {config.subset}" if config.prompts == "subset" else _describe_source(config, run_title)
    )


def _read_rows(store: RunStore, config: EvaluationConfig) -> Iterator[tuple[int, list[Message]]]:
    if config.prompts == "subset":
        splits = {"all": {TRAIN, HELD_OUT}, "held-out": {HELD_OUT}, "train": {TRAIN}}[config.split]
        for split, row, messages in subset.stream(store.settings, config.subset):
            if split in splits:
                yield row, messages
        return
    run = store.run(config.prompt_run)
    run_config = run.config()
    rows = subset.load(store.settings, run_config.subset)
    # If the subset has no held-out rows, the run chose some itself; the same settings choose the same rows again.
    hold_out(run_config, rows)
    yield from rows[HELD_OUT]


def _read_file(
    file: Path | None, name: str, left_out: Counter[str], changes: Counter[str], columns: SourceColumns
) -> Iterator[tuple[int, list[Message]]]:
    """Yield row number and conversation of each usable row of an uploaded file.

    Args:
        file: Path of the file.
        name: Its name for the user; the suffix decides how it is read.
        left_out: Counts the rows that cannot be used, by reason.
        changes: Counts what was changed or is not used, by sentence.
        columns: Collects the cells of the rows.

    Raises:
        StudioError: The file does not exist, contains no text, or its format is unclear.
    """
    if file is None or not file.is_file():
        raise StudioError(f"There is no file {name!r}. Expected a file of prompts, such as a text with one per line.")
    rows = enumerate(read_rows(file, name, note=lambda text: changes.update([text])))
    # The first rows decide the format and are then read like all others.
    head = list(itertools.islice(rows, DETECTION_ROWS))
    first = [read.row for _, read in head if read.row is not None]
    reading = _detect(first, name)
    marks = reading.find_marks(first)
    for number, read in itertools.chain(head, rows):
        if read.row is None:
            left_out["cannot be read"] += 1
            continue
        try:
            parsed = reading.read(read.row, marks)
        except UnusableRow as error:
            left_out[str(error)] += 1
            continue
        messages = [m | {"content": replace_surrogates(m["content"])} for m in parsed.messages]
        # A row without a prompt is counted among those that are left out.
        if parse_prompt(messages, number) is not None:
            changes.update(parsed.notes)
            changes.update(f"the column {column!r} is no part of the prompt" for column in parsed.unread)
            columns.texts |= read.row.keys() - set(parsed.unread)
            columns.add(number, read.row)
        yield number, messages


def _detect(rows: list[dict[str, Any]], name: str) -> formats.Reading:
    """Return how the rows of an uploaded file are read, by its first rows.

    Raises:
        StudioError: The rows hold no text, or their format is unclear.
    """
    detected = formats.detect(rows, prompts_only=True)
    if detected is None:
        raise StudioError(f"No text in {name!r}. Expected one prompt per line, or rows with a column of prompts.")
    if not detected.is_sure:
        raise StudioError(
            f"{name!r} cannot be used as it is: {detected.evidence} in the Data tab, create a subset, and evaluate it."
        )
    return detected.reading


class PromptSource(Protocol):
    """Prompts by their index and in their order."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Prompt: ...

    def __iter__(self) -> Iterator[Prompt]: ...


class Prompts:
    """The prompts of an evaluation, read from the file one at a time; only the offset of each line is in memory."""

    def __init__(self, path: Path):
        self._path = path
        with path.open("rb") as stream:
            self._offsets = [0, *itertools.accumulate(len(line) for line in stream)][:-1]

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, number: int) -> Prompt:
        with self._path.open("rb") as stream:
            stream.seek(self._offsets[number])
            return Prompt(**json.loads(stream.readline()))

    def __iter__(self) -> Iterator[Prompt]:
        with self._path.open("rb") as stream:
            for line in stream:
                yield Prompt(**json.loads(line))
