"""Guess of the encoding of a text that is neither UTF-8 nor Western European, for the advice how to convert it.

A text in the right encoding consists largely of the commonest letters of its language; in a wrong one, they are as rare
as all others. The guess is only shown, with a line of the text, so that the user sees whether it is right: no file is
decoded by it.
"""

import re
from typing import NamedTuple

# Share of the letters that are common ones, from which an encoding is named. By chance it is about 0.01 in encodings of
# two bytes per letter, which have thousands of letters, and up to 0.5 in those of one byte.
_MIN_SHARE_OF_TWO_BYTES, _MIN_SHARE_OF_ONE_BYTE = 0.12, 0.6
# The share of the likeliest encoding is at least this many times that of the second.
_MIN_RATIO = 1.2
_SHOWN_CHARACTERS = 60
_HAN = "的一是不了在人有我他个们中来上大和地到以要就出可也你生能而子那得下自之年作里好什么船海，。？"
_HAN_OLD = "的一是不了在人有我他個們中來上大和地到以要就出可也你生能而子那得下自之年作裡好什麼這為說，。？"
_HANGUL = "이다는의에가을하고지로기은를도한사서리나어자아시인해요라대과만그수있것들습니안세게"
_CYRILLIC = "оеаинтсрвлкмдпуяыьгзб"


class _Alphabet(NamedTuple):
    """Encoding with its name in iconv, its language and the commonest letters of that."""

    label: str
    language: str
    letters: str


# Alphabets by the names of their encodings in Python; a superset comes after the narrower encoding.
_ALPHABETS = {
    "shift_jis": _Alphabet("SHIFT_JIS", "Japanese", "ぁ-ヺー、。"),
    "cp932": _Alphabet("CP932", "Japanese", "ぁ-ヺー、。"),
    "euc_jp": _Alphabet("EUC-JP", "Japanese", "ぁ-ヺー、。"),
    "euc_kr": _Alphabet("EUC-KR", "Korean", _HANGUL),
    "cp949": _Alphabet("CP949", "Korean", _HANGUL),
    "big5": _Alphabet("BIG5", "Chinese", _HAN_OLD),
    "gb18030": _Alphabet("GB18030", "Chinese", _HAN),
    "cp1251": _Alphabet("WINDOWS-1251", "Cyrillic", _CYRILLIC),
    "koi8_r": _Alphabet("KOI8-R", "Cyrillic", _CYRILLIC),
    "cp866": _Alphabet("CP866", "Cyrillic", _CYRILLIC),
    "cp1253": _Alphabet("WINDOWS-1253", "Greek", "αοιετσνηρυπκλάίόέή"),
    "cp1255": _Alphabet("WINDOWS-1255", "Hebrew", "יוהלאמרבתש"),
    "cp1256": _Alphabet("WINDOWS-1256", "Arabic", "اليمنرتبوهدف"),
    "cp874": _Alphabet("CP874", "Thai", "านรอกเงมยลวดทสตะปบคห่้ัิี"),
}
_ONE_BYTE = tuple(codec for codec, alphabet in _ALPHABETS.items() if len(alphabet.letters[0].encode(codec)) == 1)
_TWO_BYTES = tuple(codec for codec in _ALPHABETS if codec not in _ONE_BYTE)
# Encodings to name where the letters show none, the strictest first; nearly every text is valid in the last one.
_STRICT = ("shift_jis", "cp932", "euc_kr", "cp949", "big5", "gb18030", "cp1251")
_MAX_NAMED = 3


def describe_bytes(sample: bytes) -> tuple[str, str]:
    """Return a sentence on the encoding of bytes, and its name for iconv; both "" where none is likely.

    Args:
        sample: Whole lines of the text.
    """
    texts = {codec: text for codec in _ALPHABETS if (text := _decoded(sample, codec)) is not None}
    # An encoding that gives the same text as a narrower one adds nothing.
    texts = {codec: text for codec, text in texts.items() if next(c for c in texts if texts[c] == text) == codec}
    shares = {codec: _share_of_common(text, _ALPHABETS[codec].letters) for codec, text in texts.items()}
    for codecs, least in ((_TWO_BYTES, _MIN_SHARE_OF_TWO_BYTES), (_ONE_BYTE, _MIN_SHARE_OF_ONE_BYTE)):
        likely = sorted((c for c in codecs if shares.get(c, 0) >= least), key=lambda c: -shares[c])
        if likely and (len(likely) == 1 or shares[likely[0]] >= _MIN_RATIO * shares[likely[1]]):
            best = _ALPHABETS[likely[0]]
            line = next(line for line in texts[likely[0]].splitlines() if not line.isascii()).strip()
            shown = repr(line[:_SHOWN_CHARACTERS])
            return f"It looks like {best.label} ({best.language}), in which a line of it is {shown}.", best.label
        if likely:
            break
    valid = [_ALPHABETS[codec].label for codec in likely or _STRICT if codec in texts][:_MAX_NAMED]
    return (f"Its bytes are valid {' or '.join(valid)}.", valid[0]) if valid else ("", "")


def _decoded(sample: bytes, codec: str) -> str | None:
    try:
        return sample.decode(codec)
    except UnicodeDecodeError:
        return None


def _share_of_common(text: str, letters: str) -> float:
    others = [character for character in text if not character.isascii()]
    return len(re.findall(f"[{letters}]", text)) / len(others) if others else 0.0
