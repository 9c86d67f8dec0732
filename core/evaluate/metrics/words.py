"""Words of a text in any script, for every metric that compares words.

The default tokenizer of rouge-score keeps a to z and 0 to 9 only, so a Russian or Chinese text would have no words.
Here a word is a run of letters, marks and digits, without case; on English text both find the same words. Scripts that
write no spaces between words, such as Chinese, Japanese and Thai, are split into single characters.
"""

from functools import lru_cache

import regex

_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_UNSPACED_CHARACTER = regex.compile(_UNSPACED)
_WORD = regex.compile(rf"{_UNSPACED}\p{{M}}*|(?:(?!{_UNSPACED})[\p{{L}}\p{{M}}\p{{N}}])+")


@lru_cache(maxsize=256)
def split_words(text: str) -> tuple[str, ...]:
    """Return the words of a text, without case and punctuation."""
    # The last texts are cached: every metric of an answer splits the same three.
    return tuple(_WORD.findall(text.casefold()))


def is_unspaced(text: str) -> bool:
    """Return whether at least half of a text's words are characters of a script without spaces between words."""
    words = split_words(text)
    return sum(bool(_UNSPACED_CHARACTER.match(word)) for word in words) * 2 >= len(words) > 0
