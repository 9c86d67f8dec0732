"""The rows that a recipe stands for: filtered, without duplicates and leaks, sampled, and split."""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from core.data import lengths, near_duplicates, sql_box
from core.data.recipe import Recipe
from core.data.rows import Rows
from core.data.table import HELD_OUT, TRAIN, find
from core.data.view import View, get_field
from core.errors import StudioError
from core.settings import Settings

_MOST_STRATA = 200


@dataclass
class Selection:
    """The split of every chosen row, and why others are not among them."""

    split_of: dict[int, str]
    left_out: Counter[str] = field(default_factory=Counter)


def open_rows(settings: Settings, recipe: Recipe) -> Rows:
    """The data set of a recipe with all that its filters read, counted first where it has not been yet."""
    data = find(settings, recipe.dataset)
    reading = recipe.reading or data.detected
    rows = Rows(settings, recipe.dataset, reading)
    counts: Path | None = None
    alike: Path | None = None
    if recipe.model:
        counts = lengths.count_tokens(settings, data, reading, lengths.TokenizerSpec(recipe.model, recipe.template))
    if recipe.duplicates == "near":
        alike = near_duplicates.find(settings, data, reading)
    return Rows(settings, recipe.dataset, reading, counts, alike) if counts or alike else rows


def select(rows: Rows, recipe: Recipe) -> Selection:
    """Return the rows that a recipe stands for.

    Raises:
        StudioError: there are fewer usable rows than the recipe asks for, or it is not chosen how rows are read.
    """
    if rows.reading.format == "undecided":
        raise StudioError(
            f"{rows.about.source.name!r} cannot be used yet: {rows.about.evidence}, then create the subset. "
            f"The choices stand at the top of the Data tab and in: python -m core data about {rows.about.id}"
        )
    chosen = Selection({}, Counter(rows.parsed.problems))
    order = _candidates(rows, recipe, chosen)
    split = dict(rows.query("row, split", set()).fetchall())
    train = [row for row in order if split[row] == TRAIN]
    held_out = [row for row in order if split[row] == HELD_OUT]
    brings_own = bool(held_out)
    prompts = dict(rows.query("row, prompt_hash", set(), after="WHERE problem IS NULL").fetchall())
    if brings_own and recipe.leaks == "exclude":
        asked = {prompts[row] for row in held_out}
        kept = [row for row in train if prompts[row] not in asked]
        chosen.left_out["asks what a held-out row asks"] += len(train) - len(kept)
        train = kept
    wanted = len(recipe.picked) if recipe.method == "picked" else recipe.rows or len(train)
    if (wanted > len(train) and recipe.method != "picked") or not train:
        raise StudioError(_too_few(rows, recipe, wanted, len(train)))
    draw = random.Random(recipe.seed)
    ordered = _ordered(rows, recipe, train, wanted, draw)
    train = ordered[:wanted]
    if not brings_own and (share := round(len(train) * recipe.held_out_share)):
        rest = ordered[wanted:]
        draw.shuffle(rest)
        held_out = rest[:share]
        if missing := share - len(held_out):  # no rows are left over: the last of the cut are kept back
            train, held_out = train[:-missing], held_out + train[-missing:]
        if recipe.leaks == "exclude":
            asked = {prompts[row] for row in train}
            kept = [row for row in held_out if prompts[row] not in asked]
            chosen.left_out["held out, but asks what a row to train on asks"] += len(held_out) - len(kept)
            held_out = kept
    if excluded := set(recipe.excluded):  # last, so that every other row stays the one it was
        chosen.left_out["left out by hand"] += len(excluded & {*train, *held_out})
        train, held_out = ([row for row in rows if row not in excluded] for rows in (train, held_out))
    chosen.split_of = {row: HELD_OUT for row in held_out} | {row: TRAIN for row in train}
    chosen.left_out = +chosen.left_out
    return chosen


def _too_few(rows: Rows, recipe: Recipe, wanted: int, there: int) -> str:
    name = rows.about.source.name
    among = "" if recipe.view == View() and not recipe.sql else " that the filters let through"
    if not there:
        return f"{name!r} has no usable rows to train on{among}."
    return (
        f"{wanted:,} rows were asked for, but {name!r} has {there:,} usable rows to train on{among}. "
        f"Ask for 1 to {there:,}."
    )


def _candidates(rows: Rows, recipe: Recipe, chosen: Selection) -> list[int]:
    """The usable rows that the filters let through, without duplicates, in the order of the view."""
    usable = {row for (row,) in rows.query("row", set(), after="WHERE problem IS NULL").fetchall()}
    if recipe.method == "picked":
        if unknown := [row for row in recipe.picked if not 0 <= row < rows.about.rows]:
            raise StudioError(f"There is no row {unknown[0]}. Expected 0 to {rows.about.rows - 1}.")
        found = sorted(set(recipe.picked))
    elif recipe.sql:
        found = sql_box.select_row_numbers(rows, recipe.sql)
    else:
        found = rows.row_numbers(recipe.view)
    order = [row for row in found if row in usable]
    for kind, column in (("duplicates", "duplicate_of"), ("near", "near_duplicate_of")):
        if recipe.duplicates == "keep" or (kind == "near" and recipe.duplicates != "near"):
            continue
        repeats = dict(rows.query(f"row, {column}", {kind}, after=f"WHERE {column} IS NOT NULL").fetchall())
        here = set(order)
        kept = [row for row in order if repeats.get(row) not in here]
        chosen.left_out["exact duplicate" if kind == "duplicates" else "near duplicate"] += len(order) - len(kept)
        order = kept
    return order


def _ordered(rows: Rows, recipe: Recipe, train: list[int], wanted: int, draw: random.Random) -> list[int]:
    """The rows in the order in which they are taken."""
    if recipe.method in ("first", "picked"):
        return list(train)
    if recipe.method in ("shortest", "longest"):
        counted = {"tokens", "characters"} & rows.fields.keys()
        column = "tokens" if "tokens" in counted else "characters"
        size = dict(rows.query(f"row, {column}", {rows.fields[column].file}).fetchall())
        sign = 1 if recipe.method == "shortest" else -1
        return sorted(train, key=lambda row: (size[row] is None, sign * (size[row] or 0)))
    shuffled = draw.sample(train, len(train))
    return shuffled if recipe.method == "random" else _stratified(rows, recipe.stratify_by, shuffled, wanted)


def _stratified(rows: Rows, column: str, shuffled: list[int], wanted: int) -> list[int]:
    """The first `wanted` rows hold every value in proportion, by largest remainders; the others follow."""
    chosen = get_field(rows.fields, column)
    value_of = dict(rows.query(f"row, CAST({chosen.sql} AS VARCHAR)", {chosen.file}).fetchall())
    strata: dict[str | None, list[int]] = {}
    for row in shuffled:
        strata.setdefault(value_of[row], []).append(row)
    if len(strata) > _MOST_STRATA:
        raise StudioError(
            f"The column {column!r} has {len(strata):,} different values; proportions are kept for at most "
            f"{_MOST_STRATA}. Choose a column with few values, such as a label."
        )
    exact = {value: wanted * len(found) / len(shuffled) for value, found in strata.items()}
    share = {value: int(size) for value, size in exact.items()}
    for value in sorted(exact, key=lambda v: (share[v] - exact[v], str(v)))[: wanted - sum(share.values())]:
        share[value] += 1
    taken = {row for value, found in strata.items() for row in found[: share[value]]}
    return [row for row in shuffled if row in taken] + [row for row in shuffled if row not in taken]
