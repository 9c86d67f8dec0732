"""Rows of instruction data: read from many formats into one conversation, written out again in seven."""

from core.data.formats.cells import Format
from core.data.formats.conversation import (
    Message,
    UnusableRow,
    ends_on_user,
    from_stored,
    is_plain,
    problem,
    until_last_answer,
)
from core.data.formats.detect import Detected, detect
from core.data.formats.options import EXTRA_USES, FORMAT_NAMES, FormatName
from core.data.formats.parsers import FORMATS
from core.data.formats.reading import PLACEHOLDER, Parsed, Reading, by_name
from core.data.formats.writing import (
    EXPORT_FORMATS,
    EXPORT_LABELS,
    ExportFormat,
    Unwritable,
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
    "Detected",
    "ExportFormat",
    "Format",
    "FormatName",
    "Message",
    "Parsed",
    "Reading",
    "UnusableRow",
    "Unwritable",
    "by_name",
    "detect",
    "ends_on_user",
    "from_stored",
    "is_plain",
    "problem",
    "to_guanaco",
    "to_llama2",
    "to_row",
    "until_last_answer",
]
