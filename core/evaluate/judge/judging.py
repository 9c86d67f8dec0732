"""Judging of an evaluation: every finished prompt is asked about twice, and each reply is kept as soon as it arrives.

    evaluations/<id>/judgments/<hash>-<first>-<second>.jsonl    prompt, order, choice, reply or error
    evaluations/<id>/judgments/<hash>-<first>-<second>.json     the pair and the judge, whose name the hash is of

A judging that was interrupted continues with the questions that have no valid reply yet; errors are asked again.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

from core.data.formats import Message
from core.errors import StudioError
from core.evaluate.judge.endpoint import JudgeError
from core.evaluate.judge.pairwise import Choice, Question, build_questions, parse_choice
from core.evaluate.line_file import LineWriter
from core.evaluate.store import Evaluation
from core.system.files import read_json, write_json
from core.system.jobs import Progress, ignore_progress

WORKERS = 4
_MAX_REPLY_CHARACTERS = 500
# This many errors in a row mean that the judge is gone, and asking on would only cost time or money.
_MAX_ERRORS_IN_A_ROW = 12


@dataclass(frozen=True)
class Pair:
    """Two lanes and the judge that compares them.

    Attributes:
        first: Index of the lane that is compared with.
        second: Index of the lane that is judged.
        judge: Name of the judge, such as its model.
    """

    first: int
    second: int
    judge: str


@dataclass
class Judgment:
    """The valid replies about one prompt, by order, and the error of an order that has none."""

    choices: dict[int, Choice]
    errors: dict[int, str]

    @property
    def both(self) -> tuple[Choice, Choice] | None:
        """Return the choices of both orders; None until both are valid."""
        return (self.choices[0], self.choices[1]) if len(self.choices) == 2 else None


def list_pairs(evaluation: Evaluation) -> list[Pair]:
    """Return the pairs that were judged, in the order in which they were last judged."""
    found = []
    for path in sorted((evaluation.folder / "judgments").glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
        found.append(Pair(**read_json(path)))
    return found


def judgments_file(evaluation: Evaluation, pair: Pair) -> Path:
    """Return the file of a pair's judgments; its name is safe, whatever the judge is called."""
    digest = hashlib.sha256(pair.judge.encode()).hexdigest()[:12]
    return evaluation.folder / "judgments" / f"{digest}-{pair.first}-{pair.second}.jsonl"


def read_judgments(evaluation: Evaluation, pair: Pair) -> dict[int, Judgment]:
    """Return the judgments so far, by prompt; a later valid reply replaces an error."""
    found: dict[int, Judgment] = {}
    size = evaluation.set_size()
    for line in _read_lines(judgments_file(evaluation, pair)):
        # Earlier versions asked about the probes of the forgetting guard, too.
        if line["prompt"] >= size:
            continue
        judgment = found.setdefault(line["prompt"], Judgment({}, {}))
        if line["choice"]:
            judgment.choices.setdefault(line["order"], line["choice"])
            judgment.errors.pop(line["order"], None)
        elif line["order"] not in judgment.choices:
            judgment.errors[line["order"]] = line["error"]
    return found


def _read_lines(path: Path) -> Iterator[dict]:
    if not path.exists():
        return
    with path.open("rb") as stream:
        for line in stream:
            # A crash can leave an incomplete last line, which the next writer removes.
            if line.endswith(b"\n"):
                yield json.loads(line)


def judge(
    evaluation: Evaluation, pair: Pair, ask: Callable[[list[Message]], str], progress: Progress = ignore_progress
) -> None:
    """Ask about every finished prompt of the set that lacks a valid reply, a few at a time.

    Args:
        evaluation: The evaluation.
        pair: The lanes and the judge.
        ask: Returns the reply to a conversation, or raises JudgeError.
        progress: Called with the share that is done, 0 to 1, and the count in words.

    Raises:
        StudioError: No prompt is answered by both lanes, or the judge failed many times in a row.
    """
    questions = list(_missing_questions(evaluation, pair))
    path = judgments_file(evaluation, pair)
    path.parent.mkdir(exist_ok=True)
    # The name of the file has only a hash of the judge's name.
    write_json(path.with_suffix(".json"), asdict(pair))
    writer = LineWriter(path)
    failed = 0
    try:
        for done, line in enumerate(_ask_all(questions, ask), 1):
            writer.write([line])
            progress(done / len(questions), f"{done:,} of {len(questions):,} questions")
            failed = failed + 1 if line["choice"] is None else 0
            if failed >= _MAX_ERRORS_IN_A_ROW:
                raise StudioError(
                    f"The judge failed {failed} times in a row, the last time: {line['error']}. Its valid replies are "
                    "kept. Check its address, model and key, then judge again: only what is missing is asked."
                )
    finally:
        writer.close()


def _missing_questions(evaluation: Evaluation, pair: Pair) -> Iterator[Question]:
    answers, prompts = evaluation.answers(), evaluation.prompts()
    if not (finished := evaluation.finished(answers)):
        raise StudioError("No prompt is answered by every model yet. Wait for the first ones, then judge.")
    had = read_judgments(evaluation, pair)
    for index in finished:
        lines, prompt = answers.read(index), prompts[index]
        texts = lines[pair.first]["text"], lines[pair.second]["text"]
        known = had[index].choices if index in had else {}
        for question in build_questions(index, prompt.messages, prompt.reference, texts):
            if question.order not in known:
                yield question


def _ask_all(questions: list[Question], ask: Callable[[list[Message]], str]) -> Iterator[dict]:
    """Yield a line per question in the order in which the replies arrive; few wait at a time, so memory is bounded."""
    waiting: set[Future[dict]] = set()
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="judge") as pool:
        try:
            for question in questions:
                if len(waiting) >= 2 * WORKERS:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                waiting.add(pool.submit(_ask_one, question, ask))
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in waiting:
                future.cancel()


def _ask_one(question: Question, ask: Callable[[list[Message]], str]) -> dict:
    line = {"prompt": question.prompt, "order": question.order, "choice": None, "error": "", "reply": ""}
    try:
        reply = ask(question.messages)
    except JudgeError as error:
        return line | {"error": str(error)}
    choice = parse_choice(reply)
    error = "" if choice else "the reply names neither A nor B nor TIE"
    return line | {"choice": choice, "error": error, "reply": reply[-_MAX_REPLY_CHARACTERS:]}
