"""The command `python -m core evaluate board`: all evaluated runs of a base model beside each other."""

import json
import math
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from core.cli.one_evaluation import open_store
from core.cli.reading import printable
from core.errors import StudioError
from core.evaluate.board import TREE, Board, BoardRow, boards_of, make_board
from core.evaluate.board_columns import BoardColumn, columns_that_differ, sort_rows
from core.evaluate.metrics import METRICS
from core.evaluate.statistics.paired import PairedDifference
from core.evaluate.verdict_text import describe_beside


class EvaluateBoard(BaseModel):
    """Show the runs of a base model beside each other: their gain over it on the same prompts, and what differs."""

    model_config = ConfigDict(populate_by_name=True)

    model: str = Field("", description="Only runs on this base model.")
    subset: str = Field("", description="Only runs that were trained on this subset.")
    metric: list[str] = Field(default_factory=list, description="A metric to show; repeat it for more. Empty: as in "
                              "the verdict.")  # fmt: skip
    sort: str = Field(
        TREE, description="'tree', 'title', 'created', 'parent' (the gain over it), a metric, or 'setting.' and a name."
    )
    descending: bool = Field(False, description="The largest first; of a metric, the best.")
    as_json: bool = Field(False, alias="json", description="Print the boards as JSON.")

    def cli_cmd(self) -> None:
        """Print a board per set of prompts, that of the newest evaluation first."""
        store = open_store()
        found, unscored = boards_of(store)
        if self.model and self.model not in found:
            raise StudioError(f"No run on {self.model!r} is evaluated. Choose one of: {', '.join(found) or 'none'}.")
        chosen = {model: sets for model, sets in found.items() if self.model in ("", model)}
        titles = store.runs.titles()
        boards = [
            make_board(store, prompts, self.metric, unscored, self.subset)
            for sets in chosen.values()
            for prompts in sets
        ]
        if self.as_json:
            print(json.dumps([self._as_json(board) for board in boards], ensure_ascii=False, indent=2, allow_nan=False))
            return
        if not boards:
            print("No evaluation is finished and scored. Start one with: python -m core evaluate start")
        for board in boards:
            self._print(board, titles)

    def _rows(self, board: Board) -> list[BoardRow]:
        return sort_rows(board.rows, self.sort, self.descending)

    def _print(self, board: Board, titles: dict[str, str]) -> None:
        print(printable(f"{board.model}: {board.prompts.describe(titles)}"))
        rows = self._rows(board)
        columns = columns_that_differ(rows)
        for number, row in enumerate(rows):
            indent = "  " * (row.depth + 1 if self.sort == TREE else 1)
            print(printable(f"{indent}{row.title}  [{row.lane}]"))
            for name, cell in row.cells.items():
                best = "best: " * cell.is_best
                print(f"{indent}  {best}{describe_beside(METRICS[name], cell.difference)}")
            if row.to_parent:
                print(f"{indent}  beside its parent: {describe_beside(board.metrics[0], row.to_parent)}")
            differing = ", ".join(f"{column.title} {column.values[number]}" for column in columns)
            if differing:
                print(printable(f"{indent}  {differing}"))
        if not rows:
            print("  no run")
        for note in board.notes:
            print(printable(f"  {note}"))
        print()

    def _as_json(self, board: Board) -> dict:
        rows = self._rows(board)
        columns = columns_that_differ(rows)
        return {
            "model": board.model, "prompts": board.prompts.rows, "notes": board.notes,
            "evaluations": [found.id for found in board.prompts.evaluations],
            "rows": [
                {
                    "lane": row.lane, "title": row.title, "parent": row.parent,
                    "created": datetime.fromtimestamp(row.created).isoformat(timespec="seconds"),
                    "metrics": {
                        name: {**_numbers(cell.difference), "best": cell.is_best, "evaluations": cell.evaluations}
                        for name, cell in row.cells.items()
                    },
                    "beside_parent": _numbers(row.to_parent) if row.to_parent else None,
                    "differs": _differs(columns, number),
                }
                for number, row in enumerate(rows)
            ],
        }  # fmt: skip


def _differs(columns: list[BoardColumn], number: int) -> dict[str, str]:
    return {column.name: column.values[number] for column in columns}


def _numbers(found: PairedDifference) -> dict[str, float | int | None]:
    """Return the numbers of a difference; an interval that does not exist is null."""
    names = ("first_mean", "second_mean", "difference", "low", "high", "rows")
    values = {name: getattr(found, name) for name in names}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
