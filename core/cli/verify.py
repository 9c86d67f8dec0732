"""The command `python -m core verify`: check a run's receipt, and repeat some of its steps."""

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from core.cli.reading import print_progress, printable
from core.errors import StudioError
from core.settings import Settings
from core.train.verification import TOLERANCE, Verification
from core.train.verify import DEFAULT_STEPS, MAX_STEPS, verify


class Verify(BaseModel):
    """Check a run's receipt, and repeat some of its steps: equal, within tolerance, or different."""

    run: CliPositionalArg[str] = Field(description="The run, as `runs list` prints it.")
    steps: int = Field(
        DEFAULT_STEPS, ge=0, le=MAX_STEPS, description="Steps to repeat; 0 compares the hashes only."
    )  # fmt: skip
    start: int | None = Field(
        None, ge=0, description="The step of a checkpoint to repeat from, or 0. Default: the last one that fits."
    )

    def cli_cmd(self) -> None:
        """Print each comparison and the verdict.

        Raises:
            StudioError: Something differs.
        """
        found = verify(Settings().prepare(), self.run, self.steps, self.start, print_progress)
        _print(found)
        if found.outcome == "different":
            raise StudioError(found.verdict)
        print(found.verdict)


def _print(found: Verification) -> None:
    for check in found.checks:
        print(printable(f"{check.name}: {check.outcome} ({check.text})"))
    for step in found.steps:
        rows = "" if step.same_rows else ", other rows"
        print(f"step {step.step}: {step.outcome} (recorded {step.recorded}, repeated {step.repeated}{rows})")
    if found.steps:
        print(f"Tolerance: {TOLERANCE:.1%} of the loss and of the adapter's weights.")
