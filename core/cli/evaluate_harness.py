"""The command `python -m core evaluate harness`: local tasks of lm-evaluation-harness, base and tuned side by side."""

from pydantic import Field
from pydantic_settings import CliPositionalArg

from core.cli.one_evaluation import choose, open_store
from core.cli.reading import print_progress, printable
from core.evaluate.config import lane_titles
from core.evaluate.harness.config import HarnessConfig
from core.evaluate.harness.measure import find_target, measure
from core.evaluate.harness.results import HarnessResult, describe_origin, describe_value, read_results
from core.evaluate.verdict_text import describe_beside
from core.runs.store import RunStore
from core.system.counting import counted


class EvaluateHarness(HarnessConfig):
    """Measure the models of an evaluation, or a run and its base, on local tasks of lm-evaluation-harness."""

    target: CliPositionalArg[str] = Field(description="Id of an evaluation or a run, or 'RUN/step 20'.")
    tasks: str = Field(
        "", description="A folder in STUDIO_HOME/harness, or 'example'. Empty: print the results that exist."
    )

    def cli_cmd(self) -> None:
        """Measure if tasks are named, and print the newest result, or all that exist."""
        store = open_store()
        target = find_target(store, self.target)
        if self.tasks:
            measure(store, target, HarnessConfig(**self.model_dump(exclude={"target"})), print_progress)
        found = read_results(target.folder)
        for result in found[: 1 if self.tasks else None]:
            print_result(result, store.runs)
        if not found:
            print("Nothing was measured yet. Name a folder of tasks: --tasks example")


def print_result(result: HarnessResult, runs: RunStore) -> None:
    """Print the metrics of all lanes, and the difference of the two that are compared."""
    titles = lane_titles(result.lanes)
    compared = choose(result.lanes, runs, "A comparison") if len(result.lanes) > 1 else None
    print(printable(f"{result.config.tasks}:"))
    for found in result.metrics:
        values = ", ".join(f"{title} {describe_value(found, lane)}" for lane, title in enumerate(titles))
        print(printable(f"  {found.title} ({counted(found.rows, 'row')}): {values}"))
        if compared and found.by_row:
            print(printable(f"    {describe_beside(found.as_metric(), found.compare(*compared))}"))
        elif compared:
            print("    No interval: the metric has no value per row.")
    for note in describe_origin(result):
        print(printable(note))
