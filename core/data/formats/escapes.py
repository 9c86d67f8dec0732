r"""Line ends and letters that were escaped twice: `\n` and `\u00e9` as characters of a text.

A program that escapes a text before it writes JSON or CSV leaves them. They are noted and not replaced, since code,
formulas (`\nu`) and paths hold a backslash on purpose.
"""

import re
from collections.abc import Sequence

from core.data.formats.conversation import Message
from core.data.formats.values import Note

# Behind `\n`, a formula or a path has a small letter, and code the end of its text.
_LINE_END = re.compile(r"(?<!\\)\\n(?=\\n|[ \t]*(?:[A-Z0-9#*•>]|-[ \w]|[^\W\x00-\x7f]))")
_LETTER = re.compile(r"(?<!\\)\\u[0-9a-fA-F]{4}")


def note_escapes(messages: Sequence[Message], note: Note) -> None:
    r"""Note a text that has `\n` where a line may end, or letters such as `\u00e9`.

    Args:
        messages: The conversation.
        note: Callback for a sentence.
    """
    texts = [one["content"] for one in messages if "\\" in one["content"]]
    # A text with line ends of its own, such as code, has the others on purpose.
    if any("\n" not in text.strip() and _LINE_END.search(text) for text in texts):
        note(
            r"a text holds \n as two characters where a line may end; it is trained as it is, so write line ends into "
            "the file if they are meant"
        )
    if any(_LETTER.search(text) for text in texts):
        note(
            r"a text holds letters such as \u00e9 as six characters; they are trained as they are, so decode the file "
            "once more if letters are meant"
        )
