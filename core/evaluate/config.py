"""Settings of an evaluation: the prompts, the lanes that answer them, and the generation settings.

The form, the command line and config.json are all derived from `EvaluationConfig`.
"""

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from core.chat.sampling import Sampling
from core.chat.turns import BASE, MAX_LANES
from core.models import embedded

SCHEMA_VERSION = 1
MAX_PROMPTS = 100_000
TUNED = "tuned"
PromptKind = Literal["held-out", "subset", "file"]
AUTO_TASK = "auto"
Task = Literal["classification", "summarization", "generation"]


class EvaluationConfig(Sampling):
    """Settings of an evaluation: a set of prompts, one to four lanes, and how answers are generated."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    prompts: PromptKind = Field(
        "held-out", title="Prompts",
        description="The held-out rows of a run, which it was not trained on; a subset; or a file.",
    )  # fmt: skip
    run: str = Field(
        "", title="Run", description="Its held-out rows are the prompts. Empty: the first run that answers."
    )
    subset: str = Field("", title="Subset", description="Its rows are the prompts.")
    split: Literal["all", "held-out", "train"] = Field(
        "all", title="Rows of the subset", description="All rows, the held-out rows, or the training rows."
    )
    file: str = Field("", title="File", description="The name of the file with the prompts.")
    task: Literal["auto", Task] = Field(
        AUTO_TASK, title="Task",
        description="What the answers are: labels, summaries or other texts. It chooses the metrics and which one "
        "decides; auto takes classification if the references are a few texts that repeat, else generation.",
    )  # fmt: skip
    lanes: list[str] = Field(
        default_factory=lambda: [BASE], min_length=1, max_length=MAX_LANES, title="Models",
        description="The models that answer: 'base', a run's id, or a checkpoint such as 'RUN/step 20'. One to four, "
        "all on one base model.",
    )  # fmt: skip
    model: str = Field(
        embedded.NAME, title="Base model",
        description="The base model if no run is involved; otherwise it is that of the runs.",
    )  # fmt: skip
    limit: int = Field(
        1000,
        ge=1,
        le=MAX_PROMPTS,
        title="Max prompts",
        description="Only the first prompts of the set are used.",
    )
    turns: Literal["last", "every"] = Field(
        "last", title="Turns",
        description="The last answer of each conversation is asked for, or every answer of it, each after the turns "
        "before it.",
    )  # fmt: skip
    guard: bool = Field(
        False, title="Forgetting guard",
        description="Also asks 320 short questions of general ability, to see what tuning has cost.",
    )  # fmt: skip
    lens: bool = Field(
        False, title="Likelihood lens",
        description="Each model also reads the answers of all models, to color their tokens by how likely it finds "
        "them. Reading is much faster than writing.",
    )  # fmt: skip
    loss_rows: int = Field(
        0, ge=0, le=MAX_PROMPTS, title="Rows with a loss",
        description="How many rows get a loss on the reference, evenly spread; 0 takes all. Reading long references "
        "can take longer than writing short answers.",
    )  # fmt: skip
    bert_score: str = Field(
        "", title="BERTScore model",
        description="A model of the BERT family in the folder of models, such as roberta-large, which compares answers "
        "and references by meaning. Empty: no BERTScore.",
    )  # fmt: skip
    rows: int = Field(
        0, ge=0, le=256, title="Batch size",
        description="Number of answers that decode together; 0 chooses it by memory and device.",
    )  # fmt: skip
    # The same setting as in Chat, but greedy by default: a comparison should not depend on chance.
    temperature: float = Field(
        0.0, ge=0, le=2, title=Sampling.model_fields["temperature"].title,
        description=Sampling.model_fields["temperature"].description,
    )  # fmt: skip

    @field_validator("lanes")
    @classmethod
    def _check_lanes_differ(cls, lanes: list[str]) -> list[str]:
        if repeated := [lane for index, lane in enumerate(lanes) if lane in lanes[:index]]:
            raise ValueError(f"the model {repeated[0]!r} is listed twice; choose each once")
        return lanes

    @model_validator(mode="before")
    @classmethod
    def _infer_prompts(cls, values: Any) -> Any:
        """Set `prompts` to the file or the subset that is named, if `prompts` itself is not given."""
        if isinstance(values, dict) and "prompts" not in values:
            inferred = next((kind for kind in ("file", "subset") if values.get(kind)), None)
            return values | {"prompts": inferred} if inferred else values
        return values

    @model_validator(mode="after")
    def _check_source(self) -> "EvaluationConfig":
        if self.prompts == "subset" and not self.subset:
            raise ValueError("no subset is named: choose one, or use a run's held-out rows")
        if self.prompts == "held-out" and not self.prompt_run:
            raise ValueError("no run is named whose held-out rows could be used: choose a run, a subset or a file")
        return self

    @property
    def sampling(self) -> Sampling:
        """Return the generation settings of every answer."""
        return Sampling(**self.model_dump(include=set(Sampling.model_fields)))

    @property
    def prompt_run(self) -> str:
        """Return the run whose held-out rows are the prompts; empty if there is none."""
        return self.run or next((run for run, _ in map(parse_lane, self.lanes) if run), "")

    def describe_settings(self) -> str:
        """Return temperature, length and all changed generation settings as text, without the seed."""
        always = {"temperature", "max_new_tokens"}
        changed = {name: value for name, value in self.sampling.model_dump().items()
                   if name in always or value != Sampling.model_fields[name].default}  # fmt: skip
        changed.pop("seed", None)
        return ", ".join(f"{Sampling.model_fields[name].title.lower()} {value!r}" for name, value in changed.items())


def parse_lane(lane: str) -> tuple[str, str]:
    """Return the run and the adapter of a lane; both are empty for the base model."""
    if lane == BASE:
        return "", ""
    run, _, adapter = lane.partition("/")
    return run, adapter or "final"


def lane_titles(lanes: list[str], names: dict[str, str] | None = None) -> list[str]:
    """Return short titles of lanes for tables, no two the same, also if case does not count.

    Args:
        lanes: As in `EvaluationConfig.lanes`, so no two the same.
        names: Names that users gave to runs, by run id. Without a name, a single run is titled "tuned".
    """
    runs = {run for run, _ in map(parse_lane, lanes) if run}
    run_titles = dict.fromkeys(runs, TUNED) if len(runs) == 1 else {run: run for run in runs}
    run_titles |= {run: name for run, name in (names or {}).items() if name}
    # A name may be that of another run, the id of another lane, or "base". As no lane takes a title that is the id of
    # another one, its own id is always free. Columns of a result are named after titles, and DuckDB ignores their case.
    taken = {lane.casefold() for lane in lanes}
    result: list[str] = []
    for lane in lanes:
        run, adapter = parse_lane(lane)
        title = BASE if not run else run_titles[run] + (f" {adapter}" if adapter != "final" else "")
        result.append(lane if title.casefold() in taken else title)
        taken.add(title.casefold())
    return result
