"""Languages of a subset's answers, as cards state them."""

from collections import Counter

from core.data import subset as subsets
from core.data.languages import language_detector
from core.errors import StudioError
from core.settings import Settings

# Rows that are looked at, and the share of them from which a language is stated.
_ROWS, _MIN_SHARE = 200, 0.1


def find_languages(settings: Settings, name: str) -> list[str]:
    """Return the languages of the answers of a subset as ISO 639 codes, the most frequent first.

    Args:
        settings: The studio's settings.
        name: The subset; one that was deleted has no known language.
    """
    detect, counts, total = language_detector(), Counter[str](), 0
    try:
        for _, _, messages in subsets.stream(settings, name):
            if (language := detect(messages[-1]["content"])) is not None:
                counts[language] += 1
            total += 1
            if total == _ROWS:
                break
    except StudioError:
        return []
    return [code for code, count in counts.most_common() if count >= _MIN_SHARE * total]
