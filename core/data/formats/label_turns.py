"""A text with a label as a question and its answer."""

from core.data.formats.cells import Cells
from core.data.formats.conversation import Message, UnusableRow
from core.data.formats.flag_answers import answer_of_flags
from core.data.formats.options import ReadingOptions
from core.data.formats.values import answer_of, is_absent, nested, text_of

_DEFAULT_PROMPT = ReadingOptions.model_fields["prompt"].default
_PROMPT_TITLE = ReadingOptions.model_fields["prompt"].title


def label_turns(cells: Cells) -> list[Message]:
    """Return the question about a text, and its label or those of its labels that are 1 as the answer.

    Raises:
        UnusableRow: The text or the label is empty.
    """
    text, flags = text_of(cells.get("text"), "the text", cells.note), cells.extra_columns("label")
    reading, name = cells.reading, ", ".join(flags) or cells.column("label") or "label"
    label = answer_of_flags(cells, flags) if flags else cells.get("label")
    if not text.strip():
        raise UnusableRow("the text is empty")
    if isinstance(label, str) and not isinstance(nested(label), str):
        cells.note("the label is a list or an object, written as JSON; it is trained as text")
    if is_absent(label) or not str(label).strip():
        raise UnusableRow("the label is empty")
    # {label} first: the text of the row may contain "{label}" and must stay as it is.
    template = reading.prompt.replace("{label}", name)
    question = template.replace("{text}", text.strip())
    if reading.prompt == _DEFAULT_PROMPT and (added := " ".join(template.replace("{text}", "").split())):
        cells.note(f"{added!r} is added to the question; change it under “{_PROMPT_TITLE}”")
    # A number is an ordinary label, so converting it to text needs no note.
    answer = answer_of(label, "the label", lambda sentence: None)
    if answer in reading.labels:
        cells.applied.add(("labels", answer))
    return [{"role": "user", "content": question}, {"role": "assistant", "content": reading.labels.get(answer, answer)}]
