"""Search for the rows inside a single JSON object.

The object may hold splits, a table of pandas or of the Hub, or a list in one of its fields. Each function recognizes
one layout. Fields beside the rows, which are not read, are reported in a note.
"""

from collections.abc import Iterator
from typing import Any

from core.data.formats.columns import TURN_NAMES, find_column
from core.data.listing import list_some
from core.data.readers import class_names
from core.data.readers.class_names import ClassNames
from core.data.readers.header import has_known_name
from core.data.readers.json_keys import TURN_KEYS, Note, Rows, rows_by_key
from core.system.counting import counted

# Names of splits in lower case: of those for training, and of all.
TRAIN_SPLIT_NAMES = {"train", "training"}
SPLIT_NAMES = TRAIN_SPLIT_NAMES | {
    "test", "testing", "validation", "valid", "val", "dev", "eval", "evaluation", "heldout", "held-out", "held_out",
}  # fmt: skip
# Levels of objects in which a list of rows is searched, and the fewest rows of such a list.
_MAX_LEVELS, _MIN_NESTED_ROWS = 3, 2
# An object with a text of at least this many words is a row itself.
_MIN_TEXT_WORDS = 4


def rows_in(value: dict[str, Any], note: Note) -> Rows | None:
    """Return the rows in an object with the names of their splits, or None if the object itself is a row.

    Args:
        value: The object.
        note: Callback for sentences about the layout and about fields that are not read.
    """
    for find in (
        _splits,
        _hub_rows,
        _split_table,
        _index_table,
        _column_table,
        rows_by_key,
        _squad,
        _text_lists,
        _one_list,
    ):
        if (found := find(value, note)) is not None:
            return found
    # A single field with an object in it may contain the rows one level deeper.
    if len(value) == 1 and isinstance(inner := next(iter(value.values())), dict):
        return rows_in(inner, note)
    return _nested_list(value, note)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value[:20])


def _note_rest(value: dict[str, Any], used: set[str], note: Note) -> None:
    if rest := [name for name in value if name not in used]:
        shown = list_some([repr(name[:60]) for name in rest], 5)
        note(f"beside the rows the file contains {shown}, which {'is' if len(rest) == 1 else 'are'} not read")


def _with_names(value: dict[str, Any], used: set[str], rows: Rows, note: Note) -> Rows:
    """Return rows with the names of their classes, if the rest of the file has them; all else there is noted."""
    rest = {name: part for name, part in value.items() if name not in used}
    if found := class_names.find_beside(rest, [row for _, row in rows if isinstance(row, dict)]):
        path, classes = found
        rows = _named(classes, rows, note)
        used = used if "." in path else used | {path}
    _note_rest(value, used, note)
    return rows


def _named(classes: ClassNames, rows: Rows, note: Note) -> Rows:
    named = [(split, classes.named(row) if isinstance(row, dict) else row) for split, row in rows]
    for words in classes.notes():
        note(words)
    return named


def _splits(value: dict[str, Any], note: Note) -> Rows | None:
    names = [name for name, rows in value.items() if name.lower() in SPLIT_NAMES and _is_rows(rows)]
    if not names or any(TURN_KEYS & value[name][0].keys() for name in names):
        return None
    note(f"the rows are in the splits {', '.join(map(repr, names))}")
    names.sort(key=lambda name: name.lower() not in TRAIN_SPLIT_NAMES)
    # A single split is for training, whatever its name.
    rows = [(name if len(names) > 1 else None, row) for name in names for row in value[name]]
    return _with_names(value, set(names), rows, note)


def _hub_rows(value: dict[str, Any], note: Note) -> Rows | None:
    """Find the rows in an answer of the Hub's viewer: {"features": …, "rows": [{"row_idx": 0, "row": {…}}]}."""
    rows = value.get("rows")
    if not _is_rows(rows) or not all(isinstance(item.get("row"), dict) for item in rows):
        return None
    if truncated := sum(bool(item.get("truncated_cells")) for item in rows):
        note(f"{counted(truncated, 'row contains', 'rows contain')} cells that the Hub's viewer truncated")
    classes = ClassNames(class_names.features_of_viewer(value.get("features")))
    return _named(classes, [(None, item["row"]) for item in rows], note)


def _split_table(value: dict[str, Any], note: Note) -> Rows | None:
    """Find pandas' orient="split": {"columns": ["a"], "index": [0], "data": [["x"]]}."""
    columns, data = value.get("columns"), value.get("data")
    if not isinstance(columns, list) or not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        return None
    note("the rows are a table as pandas writes it (orient='split')")
    _note_rest(value, {"columns", "data", "index"}, note)
    names = [str(name) for name in columns]
    return [(None, dict(zip(names, row, strict=True)) if len(row) == len(names) else row) for row in data]


def _index_table(value: dict[str, Any], note: Note) -> Rows | None:
    """Find pandas' orient="index": {"0": {"prompt": "x"}, "1": {"prompt": "y"}}."""
    if not all(name.isdigit() and isinstance(row, dict) for name, row in value.items()):
        return None
    note("the rows are a table as pandas writes it (orient='index')")
    return [(None, row) for row in value.values()]


def _column_table(value: dict[str, Any], note: Note) -> Rows | None:
    """Find a table by columns: pandas' {"prompt": {"0": "x"}}, or {"prompt": ["x", "y"], "completion": […]}."""
    columns = list(value.values())
    if not columns:
        return None
    if all(isinstance(column, dict) and column and all(key.isdigit() for key in column) for column in columns):
        keys = dict.fromkeys(key for column in columns for key in column)
        note("the rows are a table by columns, as pandas writes it")
        return [(None, {name: column[key] for name, column in value.items() if key in column}) for key in keys]
    # A single list of texts may be a conversation: only several lists of the same length are a table.
    is_lists = len(columns) > 1 and all(isinstance(column, list) for column in columns)
    if not is_lists or len({len(column) for column in columns}) != 1 or any(_is_rows(column) for column in columns):
        return None
    note("the rows are a table by columns")
    return [(None, dict(zip(value, cells, strict=True))) for cells in zip(*columns, strict=True)]


def _one_list(value: dict[str, Any], note: Note) -> Rows | None:
    lists = [name for name, rows in value.items() if _is_rows(rows)]
    if len(lists) > 1:
        # A list of classes with their ids, as COCO has it, is beside the rows.
        lists = [name for name in lists if not class_names.are_classes(value[name])]
    if len(lists) != 1 or TURN_KEYS & value[lists[0]][0].keys():
        return None
    return _with_names(value, set(lists), [(None, row) for row in value[lists[0]]], note)


def _text_lists(value: dict[str, Any], note: Note) -> Rows | None:
    """Find conversations that are lists of texts, as in the corpus of ChatterBot: {"conversations": [["a", "b"]]}."""
    name = find_column(list(value), TURN_NAMES)
    lists = value.get(name or "")
    if not isinstance(lists, list) or len(lists) < _MIN_NESTED_ROWS or not all(map(_is_talk, lists)):
        return None
    note(f"each list of texts in {name!r} is a row: the turns of one conversation")
    _note_rest(value, {str(name)}, note)
    return [(None, {"messages": [str(text) for text in talk]}) for talk in lists]


def _is_talk(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(text, (str, int, float)) for text in value)


def _squad(value: dict[str, Any], note: Note) -> Rows | None:
    """Find the questions of SQuAD's own files: {"data": [{"title": …, "paragraphs": [{"context": …, "qas": […]}]}]}."""
    articles = value.get("data")
    if not _is_rows(articles) or not all(_is_rows(article.get("paragraphs")) for article in articles):
        return None
    found: Rows = []
    for article in articles:
        for paragraph in article["paragraphs"]:
            if not isinstance(paragraph, dict) or not isinstance(paragraph.get("qas"), list):
                return None
            above = {"title": article.get("title")} | {name: paragraph[name] for name in paragraph if name != "qas"}
            found += [(None, above | _as_on_hub(item)) for item in paragraph["qas"] if isinstance(item, dict)]
    note("the questions of all paragraphs are the rows, with the title and the context of each, as in SQuAD")
    _note_rest(value, {"data"}, note)
    return found or None


def _as_on_hub(question: dict[str, Any]) -> dict[str, Any]:
    """Return a question of SQuAD with its answers as one object of lists, as the Hub has them."""
    lists = {name: question[name] for name in ("answers", "plausible_answers") if isinstance(question.get(name), list)}
    return question | {
        name: {key: [answer.get(key) for answer in answers] for key in ("text", "answer_start")}
        for name, answers in lists.items()
        if all(isinstance(answer, dict) for answer in answers)
    }


def _nested_list(value: dict[str, Any], note: Note) -> Rows | None:
    """Find the only list of objects deeper in an object without texts of its own, such as an answer of a search."""
    lists = dict(_lists_in(value, _MAX_LEVELS))
    is_row = any(_is_text(name, part) for name, part in value.items())
    if not lists or is_row or any(TURN_KEYS & rows[0].keys() for rows in lists.values()):
        return None
    if len(lists) > 1:
        shown = list_some([f"{path!r} ({len(rows):,})" for path, rows in lists.items()], 5)
        note(f"the file is one object with several lists: {shown}; save the list of rows as a file of its own")
        return None
    [(path, rows)] = lists.items()
    if len(rows) < _MIN_NESTED_ROWS:
        return None
    note(f"the rows are the list in {path!r}; the rest of the file is not read")
    return [(None, row) for row in rows]


def _lists_in(value: dict[str, Any], levels: int, path: str = "") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name, part in value.items():
        if _is_rows(part):
            yield f"{path}{name}", part
        elif isinstance(part, dict) and levels:
            yield from _lists_in(part, levels - 1, f"{path}{name}.")


def _is_text(name: str, value: Any) -> bool:
    return isinstance(value, str) and (len(value.split()) >= _MIN_TEXT_WORDS or has_known_name([name]))
