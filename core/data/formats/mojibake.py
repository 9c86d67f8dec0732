"""Letters of UTF-8 that a program before the studio decoded in another encoding, such as "Ã©" for "é".

Exports of Facebook and Instagram hold them, and so do files of scripts that read UTF-8 as Latin-1. They are noted and
not repaired, since a text may be about them.
"""

import re
from collections.abc import Sequence

from core.data.formats.conversation import Message
from core.data.formats.values import Note

# The bytes of Western letters, of typographic signs, and of Cyrillic words, each decoded one by one.
_BROKEN = re.compile(
    r"Ã[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|Â[\u00a0-\u00bf]|â€[\u0090-\u009d\u00a0-\u00bf“”™œ˜¢¦]"
    r"|â\u0080[\u0080-\u00bf]|(?:[ÐÑ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]){3,}"
)


def note_mojibake(messages: Sequence[Message], note: Note) -> None:
    """Note a text whose letters look like UTF-8 that was decoded in another encoding.

    Args:
        messages: The conversation.
        note: Callback for a sentence with the kind of letters.
    """
    if any(not one["content"].isascii() and _BROKEN.search(one["content"]) for one in messages):
        note(
            "letters such as Ã© or â€™ look like UTF-8 that was read in another encoding; they are trained as they "
            "are, so repair the file if they are not meant"
        )
