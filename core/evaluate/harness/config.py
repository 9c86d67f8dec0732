"""Settings of a measurement with lm-evaluation-harness; the form and the command line are derived from them."""

from pydantic import BaseModel, ConfigDict, Field

AS_TASK = -1


class HarnessConfig(BaseModel):
    """Settings of a measurement: a folder of tasks, and how many of their rows are asked."""

    model_config = ConfigDict(extra="forbid")

    tasks: str = Field(
        title="Folder of tasks", description="A folder in STUDIO_HOME/harness with tasks as YAML files, or 'example'."
    )
    only: str = Field("", title="Only these tasks", description="Names, separated by commas. Empty: all of the folder.")
    limit: int = Field(0, ge=0, title="Max rows", description="The first rows of each task that are asked; 0 for all.")
    shots: int = Field(
        AS_TASK,
        ge=AS_TASK,
        le=100,
        title="Examples",
        description="Solved examples before each row; -1: as in the task.",
    )
    batch: int = Field(8, ge=1, le=256, title="Batch size", description="Rows that go through the model together.")

    def only_names(self) -> list[str]:
        """Return the names of the chosen tasks; empty for all."""
        return [name.strip() for name in self.only.split(",") if name.strip()]
