"""Selection of the rows of a recipe: filter, remove duplicates and leaks, sample, split.

Every step takes its randomness from one generator with the seed of the recipe, so the order of the steps is part of the
result: changing it changes the rows of existing recipes.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from core.data import lengths, near_duplicates, sql_box
from core.data.recipe import Recipe
from core.data.rows import Rows
from core.data.table import HELD_OUT, TRAIN, find
from core.data.view import get_field
from core.errors import StudioError
from core.settings import Settings
from core.system.counting import counted
from core.system.jobs import Progress, ignore_progress

_MAX_STRATA = 200


@dataclass
class Selection:
    """Result of a selection.

    Attributes:
        split_of: The split of each selected row, by row number.
        left_out: Number of excluded rows by reason.
    """

    split_of: dict[int, str]
    left_out: Counter[str] = field(default_factory=Counter)


def open_rows(settings: Settings, recipe: Recipe, progress: Progress = ignore_progress) -> Rows:
    """Open the dataset of a recipe with the files that its filters need, which are computed if they do not exist.

    Raises:
        StudioError: The recipe needs losses, which only a measurement with their model can give, and they are gone.
    """
    data = find(settings, recipe.dataset)
    reading = recipe.reading or data.detected
    rows = Rows(settings, recipe.dataset, reading, losses=recipe.losses)
    counts: Path | None = None
    near: Path | None = None
    if recipe.model:
        counts = lengths.count_tokens(
            settings,
            data,
            reading,
            lengths.TokenizerSpec(recipe.model, recipe.template),
            lambda share: progress(share / 3, "Counting tokens"),
        )
    if recipe.duplicates == "near":
        near = near_duplicates.find(
            settings, data, reading, lambda share: progress((1 + share) / 3, "Comparing the rows")
        )
    return Rows(settings, recipe.dataset, reading, counts, near, recipe.losses) if counts or near else rows


def select(rows: Rows, recipe: Recipe) -> Selection:
    """Select the rows of a recipe from its dataset, opened by `open_rows`.

    Raises:
        StudioError: The format is undecided, or there are fewer usable rows than the recipe asks for.
    """
    _require_format(rows)
    chosen = Selection({}, Counter(rows.parsed.problems))
    prompts = dict(rows.query("row, prompt_hash", set(), after="WHERE problem IS NULL").fetchall())
    train, held_out = _by_split(rows, recipe, chosen, prompts)
    has_own_split = bool(held_out)
    wanted = _count_wanted(rows, recipe, len(train))
    rng = random.Random(recipe.seed)
    ordered = _order_rows(rows, recipe, train, wanted, rng)
    train, rest = ordered[:wanted], ordered[wanted:]
    if not has_own_split and (count := round(len(train) * recipe.held_out_share)):
        rng.shuffle(rest)
        train, held_out = _hold_out(train, rest, count)
        # The source has no held-out split, so leaking rows are removed from the rows that are held out here: the number
        # of rows to train on stays as requested.
        if recipe.leaks == "exclude":
            kept = _without_leaks(held_out, train, prompts)
            chosen.left_out["held out, but same question as a training row"] += len(held_out) - len(kept)
            held_out = kept
    # Last, so that excluding a row does not change the selection of the others.
    if excluded := set(recipe.excluded):
        chosen.left_out["left out by hand"] += len(excluded & {*train, *held_out})
        train, held_out = ([row for row in part if row not in excluded] for part in (train, held_out))
    chosen.split_of = {row: HELD_OUT for row in held_out} | {row: TRAIN for row in train}
    # Unary plus removes the reasons with a count of zero.
    chosen.left_out = +chosen.left_out
    return chosen


def count_available(rows: Rows, recipe: Recipe) -> int:
    """Return the number of rows that a recipe can train on, which is the most that it may ask for."""
    prompts = dict(rows.query("row, prompt_hash", set(), after="WHERE problem IS NULL").fetchall())
    train, _ = _by_split(rows, recipe, Selection({}), prompts)
    return len(train)


def _by_split(rows: Rows, recipe: Recipe, chosen: Selection, prompts: dict[int, int]) -> tuple[list[int], list[int]]:
    """Return the rows that can be trained on, without leaks, and the source's own held-out rows."""
    order = _candidates(rows, recipe, chosen)
    split = dict(rows.query("row, split", set()).fetchall())
    train = [row for row in order if split[row] == TRAIN]
    held_out = [row for row in order if split[row] == HELD_OUT]
    # A held-out split of the source is fixed, so leaking rows are removed from the training rows, before sampling.
    if held_out and recipe.leaks == "exclude":
        kept = _without_leaks(train, held_out, prompts)
        chosen.left_out["same question as a held-out row"] += len(train) - len(kept)
        train = kept
    return train, held_out


def _require_format(rows: Rows) -> None:
    """Raise StudioError if no format is detected or chosen."""
    if rows.reading.format == "undecided":
        raise StudioError(
            f"{rows.about.source.name!r} cannot be used yet: {rows.about.evidence}, then create the subset. "
            f"The choices are at the top of the Data tab and in: python -m core data about {rows.about.id}"
        )


def _without_leaks(rows: list[int], others: list[int], prompts: dict[int, int]) -> list[int]:
    """Return those of `rows` whose question, by its hash in `prompts`, is not asked in `others`."""
    asked = {prompts[row] for row in others}
    return [row for row in rows if prompts[row] not in asked]


def _hold_out(train: list[int], rest: list[int], count: int) -> tuple[list[int], list[int]]:
    """Return the rows to train on and `count` held-out rows.

    The held-out rows come from the rest, and from the end of the selected rows if the rest is too small.
    """
    held_out = rest[:count]
    if missing := count - len(held_out):
        return train[:-missing], held_out + train[-missing:]
    return train, held_out


def _count_wanted(rows: Rows, recipe: Recipe, available: int) -> int:
    """Return the number of rows to train on; raise StudioError if fewer are available."""
    wanted = len(recipe.picked) if recipe.method == "picked" else recipe.rows or available
    if (wanted > available and recipe.method != "picked") or not available:
        raise StudioError(_too_few(rows, recipe, wanted, available))
    return wanted


def _too_few(rows: Rows, recipe: Recipe, wanted: int, available: int) -> str:
    name = rows.about.source.name
    among = _describe_view(recipe)
    if not available:
        advice = "Select other rows" if among else "Choose under “Read as” in the Data tab how its rows are read"
        return f"{name!r} has no usable rows to train on{among}. {advice}."
    return (
        f"The recipe asks for {wanted:,} rows, but {name!r} has {counted(available, 'usable row')} to train on{among}. "
        f"Ask for 1 to {available:,}."
    )


def _describe_view(recipe: Recipe) -> str:
    """Return what the rows of a recipe have in common, as the end of "usable rows"; "" if all are meant."""
    if recipe.sql:
        return " that the query selects"
    parts = [f"contain “{recipe.view.search}”"] if recipe.view.search else []
    parts += ["pass the filters"] if recipe.view.filters else []
    return f" that {' and '.join(parts)}" if parts else ""


def _candidates(rows: Rows, recipe: Recipe, chosen: Selection) -> list[int]:
    """Return the usable rows that pass the filters, without duplicates, in the order of the view."""
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
        # A duplicate is removed only if the row that it repeats has passed the filters, too.
        first_of = dict(rows.query(f"row, {column}", {kind}, after=f"WHERE {column} IS NOT NULL").fetchall())
        candidates = set(order)
        kept = [row for row in order if first_of.get(row) not in candidates]
        chosen.left_out["exact duplicate" if kind == "duplicates" else "near duplicate"] += len(order) - len(kept)
        order = kept
    return order


def _order_rows(rows: Rows, recipe: Recipe, train: list[int], wanted: int, rng: random.Random) -> list[int]:
    """Return the rows in the order in which the recipe's method takes them."""
    if recipe.method in ("first", "picked"):
        return list(train)
    if recipe.method in ("shortest", "longest"):
        column = "tokens" if "tokens" in rows.fields else "characters"
        size = dict(rows.query(f"row, {column}", {rows.fields[column].file}).fetchall())
        sign = 1 if recipe.method == "shortest" else -1
        # Rows without a length, which the chat template refuses, come last with either sign.
        return sorted(train, key=lambda row: (size[row] is None, sign * (size[row] or 0)))
    shuffled = rng.sample(train, len(train))
    return shuffled if recipe.method == "random" else _stratified(rows, recipe.stratify_by, shuffled, wanted)


def _stratified(rows: Rows, column: str, shuffled: list[int], wanted: int) -> list[int]:
    """Return the rows such that the first `wanted` ones hold every value of a column in proportion.

    The largest remainder method rounds the shares (Hamilton's method of apportionment).

    Raises:
        StudioError: There is no such column, or it has too many different values.
    """
    chosen = get_field(rows.fields, column)
    value_of = dict(rows.query(f"row, CAST({chosen.sql} AS VARCHAR)", {chosen.file}).fetchall())
    strata: dict[str | None, list[int]] = {}
    for row in shuffled:
        strata.setdefault(value_of[row], []).append(row)
    if len(strata) > _MAX_STRATA:
        raise StudioError(
            f"The column {column!r} has {len(strata):,} different values; proportions need at most "
            f"{_MAX_STRATA}. Choose a column with few values, such as a label."
        )
    exact = {value: wanted * len(found) / len(shuffled) for value, found in strata.items()}
    share = {value: int(size) for value, size in exact.items()}
    # The rows still missing go to the values with the largest remainders; the name breaks ties.
    for value in sorted(exact, key=lambda v: (share[v] - exact[v], str(v)))[: wanted - sum(share.values())]:
        share[value] += 1
    taken = {row for value, found in strata.items() for row in found[: share[value]]}
    return [row for row in shuffled if row in taken] + [row for row in shuffled if row not in taken]
