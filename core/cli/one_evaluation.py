"""An evaluation named on the command line, shared by the commands `python -m core evaluate`."""

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from core.data import subset
from core.evaluate.store import Evaluation, EvaluationStore
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
