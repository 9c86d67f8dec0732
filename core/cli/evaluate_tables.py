"""Parts of `python -m core evaluate verdict` beside the verdict: general ability, and the tables of labels."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from core.cli.reading import printable
from core.evaluate.classification.scoring import WAYS, Classification
from core.evaluate.classification.tables import ClassificationTable
from core.evaluate.guard import Ability
from core.evaluate.probes import kinds
from core.system.counting import counted

# Rows per label are printed for at most this many labels.
_SHOWN_LABELS = 20


def print_ability(ability: Ability, sentences: Sequence[str], first: int, second: int) -> None:
    """Print sentences about what tuning has cost, and a line per kind of probe.

    Args:
        ability: The probes.
        sentences: The cost and the advice; empty ones are left out.
        first: The reference lane.
        second: The judged lane.
    """
    print()
    for sentence in filter(None, sentences):
        print(printable(sentence))
    for kind in kinds():
        print(f"  {kind}: {_share(ability.share(first, kind))} to {_share(ability.share(second, kind))}")


def print_classes(found: Classification, titles: Sequence[str]) -> None:
    """Print accuracy and macro-F1 of every lane by both ways, and each label of it."""
    print("\nLabels:")
    for lane, title in enumerate(titles):
        for way, name in WAYS.items():
            if table := found.table(lane, way):
                print(printable(f"  {title}, {name.lower()}: {_summary(table)}"))
                for row in table.labels[:_SHOWN_LABELS]:
                    print(printable(f"    {row.name!r}: {counted(row.rows, 'row')}, precision {_share(row.precision)}, "
                                    f"recall {_share(row.recall)}, F1 {_number(row.f1)}"))  # fmt: skip
                if (more := len(table.labels) - _SHOWN_LABELS) > 0:
                    print(f"    {counted(more, 'more label')}; --json has all")


def tables_as_json(ability: Ability | None, found: Classification | None, lanes: int) -> dict[str, Any]:
    """Return general ability and the tables of labels per lane as values that JSON has; null for what is not known."""
    shares = [
        {"all": ability.share(lane), **{kind: ability.share(lane, kind) for kind in kinds()}}
        for lane in range(lanes if ability else 0)
    ]
    tables = [
        {way: _table_as_json(table) for way in WAYS if (table := found.table(lane, way))}
        for lane in range(lanes if found else 0)
    ]
    return {"ability": shares or None, "labels": tables or None}


def _table_as_json(table: ClassificationTable) -> dict[str, Any]:
    return {
        "accuracy": table.accuracy, "macro_f1": table.macro_f1, "unparsed": table.unparsed,
        "labels": [asdict(row) for row in table.labels], "confusion": table.confusion.tolist(),
    }  # fmt: skip


def _summary(table: ClassificationTable) -> str:
    unparsed = f", no label in {table.unparsed:.1%}" if table.unparsed else ""
    return f"accuracy {table.accuracy:.1%}, macro-F1 {table.macro_f1:.3f}{unparsed}"


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
