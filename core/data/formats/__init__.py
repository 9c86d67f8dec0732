"""Formats of instruction data, read into one kind of conversation and written out again.

`detect` finds the format of a dataset from its first rows and gives a `Reading`, the options under which rows are
parsed. `Reading.read` turns a row into messages with the help of `parsers` (one function per format), `turns` (lists of
turns) and `marks` (turns marked inside a text). `writing.to_row` goes the other way for seven export formats.

To add a format: a name in `options.FormatName`, an entry with its parser in `parsers.FORMATS` (its fields say what is
done with the parsed messages, too), and a proposal in `proposals` or `text_proposals` if it is to be detected.
"""

from core.data.formats.cells import Format
from core.data.formats.conversation import (
    Message,
    UnusableRow,
    ends_without_answer,
    find_problem,
    from_stored,
    is_plain,
    until_last_answer,
)
from core.data.formats.detect import Detection, detect
from core.data.formats.options import EXTRA_USES, FORMAT_NAMES, FormatName
from core.data.formats.parsers import FORMATS
from core.data.formats.reading import PLACEHOLDER, Parsed, Reading, get_format
from core.data.formats.repeated_marks import RepeatedMarks
from core.data.formats.writing import (
    EXPORT_FORMATS,
    EXPORT_LABELS,
    ExportFormat,
    UnwritableRow,
    to_guanaco,
    to_llama2,
    to_row,
)

__all__ = [
    "EXPORT_FORMATS",
    "EXPORT_LABELS",
    "EXTRA_USES",
    "FORMATS",
    "FORMAT_NAMES",
    "PLACEHOLDER",
    "Detection",
    "ExportFormat",
    "Format",
    "FormatName",
    "Message",
    "Parsed",
    "Reading",
    "RepeatedMarks",
    "UnusableRow",
    "UnwritableRow",
    "detect",
    "ends_without_answer",
    "find_problem",
    "from_stored",
    "get_format",
    "is_plain",
    "to_guanaco",
    "to_llama2",
    "to_row",
    "until_last_answer",
]
