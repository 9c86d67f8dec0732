"""An evaluation named on the command line, shared by the commands `python -m core evaluate`."""

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from core.data import subset
from core.errors import StudioError
from core.evaluate.lineage import usual_lanes
from core.evaluate.store import Evaluation, EvaluationStore
from core.runs.store import RunStore
from core.settings import Settings


def open_store() -> EvaluationStore:
    """Return the store of evaluations, after making sure that the bundled dataset is there."""
    settings = Settings().prepare()
    subset.ensure_bundled(settings)
    return EvaluationStore(settings)


class OneEvaluation(BaseModel):
    """The id of an evaluation as the argument of a command."""

    evaluation: CliPositionalArg[str] = Field(description="The id of an evaluation.")

    def find(self) -> tuple[EvaluationStore, Evaluation]:
        """Return the store and the evaluation."""
        store = open_store()
        return store, store.find(self.evaluation)


def choose(lanes: list[str], runs: RunStore, comparison: str, reference: str = "", judged: str = "") -> tuple[int, int]:
    """Return the numbers of the reference and the judged lane.

    Args:
        lanes: The lanes of the evaluation.
        runs: The runs, which know their parents.
        comparison: Name of the comparison, as the subject of a sentence ("A verdict").
        reference: The lane to compare with; empty for the judged run's parent, base, or the first.
        judged: The lane that is judged; empty for the last.

    Raises:
        StudioError: The evaluation has one lane, or not the named ones, or they are the same.
    """
    chosen = usual_lanes(lanes, runs)
    if chosen is None:
        raise StudioError(f"{comparison} compares two models, but this evaluation has one. Start one with two --lanes.")
    numbers = []
    for name, usual in zip((reference, judged), chosen, strict=True):
        if name and name not in lanes:
            raise StudioError(f"The evaluation has no model {name!r}. Choose one of: {', '.join(lanes)}.")
        numbers.append(lanes.index(name) if name else usual)
    first, second = numbers
    if first == second:
        raise StudioError(
            f"{comparison} compares two different models, but both are {lanes[first]!r}. Name another one with "
            "--reference or --judged."
        )
    return first, second
