"""EvaluationConfig: which prompts, who answers them, and how. The form, the command line and the saved file come from
here."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from core.chat.sampling import Sampling
from core.models import embedded

SCHEMA_VERSION = 1
MAX_LANES = 4
MAX_PROMPTS = 100_000
BASE, TUNED = "base", "tuned"
PromptSet = Literal["held-out", "subset", "file"]


class EvaluationConfig(Sampling):
    """A set of prompts, one to four lanes that answer it, and the settings of every answer."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    prompts: PromptSet = Field(
        "held-out", title="Prompts",
        description="The held-out rows of a run, which it was not trained on; a subset; or a file.",
    )  # fmt: skip
    run: str = Field("", title="Run", description="Whose held-out rows are asked. Empty: the first lane's with a run.")
    subset: str = Field("", title="Subset", description="Whose rows are asked.")
    split: Literal["all", "held-out", "train"] = Field(
        "all", title="Rows of the subset", description="All of them, those held out, or those to train on."
    )
    file: str = Field("", title="File", description="The name of the file that the prompts came from.")
    lanes: list[str] = Field(
        default_factory=lambda: [BASE], min_length=1, max_length=MAX_LANES, title="Lanes",
        description="Who answers: 'base', a run's id, or a checkpoint of it such as 'RUN/step 20'. One to four, all on "
        "one base model.",
    )  # fmt: skip
    model: str = Field(
        embedded.NAME, title="Base model", description="Read where no lane is a run; else it is the runs' own."
    )
    limit: int = Field(
        1000, ge=1, le=MAX_PROMPTS, title="Most prompts", description="The first so many of the set are asked."
    )
    rows: int = Field(
        0, ge=0, le=256, title="Rows at once",
        description="How many answers decode together; 0: as many as memory allows and the processor is good for.",
    )  # fmt: skip
    # the same knob as the chat's, with another default: what is compared is better not left to chance
    temperature: float = Field(
        0.0, ge=0, le=2, title=Sampling.model_fields["temperature"].title,
        description=Sampling.model_fields["temperature"].description,
    )  # fmt: skip

    @field_validator("lanes")
    @classmethod
    def _different(cls, lanes: list[str]) -> list[str]:
        if twice := [lane for at, lane in enumerate(lanes) if lane in lanes[:at]]:
            raise ValueError(f"the lane {twice[0]!r} is there twice; every lane must be another model")
        return lanes

    @model_validator(mode="before")
    @classmethod
    def _meant(cls, values: Any) -> Any:
        """Whoever names a file or a subset, and not which kind of prompts, means those."""
        if isinstance(values, dict) and "prompts" not in values:
            meant = next((kind for kind in ("file", "subset") if values.get(kind)), None)
            return values | {"prompts": meant} if meant else values
        return values

    @model_validator(mode="after")
    def _named(self) -> "EvaluationConfig":
        if self.prompts == "subset" and not self.subset:
            raise ValueError("no subset is named: choose one, or ask a run's held-out rows")
        if self.prompts == "held-out" and not self.prompt_run:
            raise ValueError("no run is named whose held-out rows could be asked: choose a run, a subset or a file")
        return self

    @property
    def sampling(self) -> Sampling:
        return Sampling(**self.model_dump(include=set(Sampling.model_fields)))

    @property
    def prompt_run(self) -> str:
        """The run whose held-out rows are asked."""
        return self.run or next((run for run, _ in map(parse_lane, self.lanes) if run), "")

    def describe_settings(self) -> str:
        """The settings of an answer that are not as they come, with the temperature and the length."""
        always = {"temperature", "max_new_tokens"}
        changed = {name: value for name, value in self.sampling.model_dump().items()
                   if name in always or value != Sampling.model_fields[name].default}  # fmt: skip
        changed.pop("seed", None)
        return ", ".join(f"{Sampling.model_fields[name].title.lower()} {value!r}" for name, value in changed.items())


def parse_lane(lane: str) -> tuple[str, str]:
    """The run and the adapter of a lane; no run is the base."""
    if lane == BASE:
        return "", ""
    run, _, adapter = lane.partition("/")
    return run, adapter or "final"


def lane_titles(lanes: list[str], names: dict[str, str] | None = None) -> list[str]:
    """What lanes are called in tables: as short as tells them apart, no two the same.

    Args:
        names: what a person calls runs, by their id; the only run is "tuned" where it has no name.
    """
    runs = {run for run, _ in map(parse_lane, lanes) if run}
    called = dict.fromkeys(runs, TUNED) if len(runs) == 1 else {run: run for run in runs}
    called |= {run: name for run, name in (names or {}).items() if name}
    found: list[str] = []
    for lane in lanes:
        run, adapter = parse_lane(lane)
        title = BASE if not run else called[run] + (f" {adapter}" if adapter != "final" else "")
        found.append(title if title not in found else lane)
    return found
