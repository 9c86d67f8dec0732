"""Passages that a question is about, in the structures of search and of datasets of questions, as one text.

HotpotQA has titles with lists of sentences, MS MARCO and PubMedQA an object of lists, and LangChain a list of objects.
A text of JSON in a question would teach a model its brackets.
"""

import itertools
from typing import Any

from core.data.formats.values import Note, is_missing, nested

_TEXT_KEYS = (
    "text", "content", "page_content", "passage", "passage_text", "paragraph_text", "paragraph", "body", "contents",
    "snippet", "contexts", "context", "sentences", "paragraphs", "passages", "abstract", "extract", "chunk", "document",
)  # fmt: skip
_TITLE_KEYS = ("title", "titles", "heading", "name")


def passages_of(value: Any) -> tuple[list[tuple[str, str]], set[str]] | None:
    """Return the titles and the texts of passages with the fields that are not used, or None for another value.

    Args:
        value: A list of objects with a text, of pairs of a title and sentences, or an object of lists.
    """
    value = nested(value)
    if isinstance(value, dict):
        return _from_object(value)
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(item, dict) for item in value):
        return _from_objects(value)
    if all(_is_titled(item) for item in value):
        return [(item[0], _joined(item[1])) for item in value], set()
    return None


def passages_text(value: Any, name: str, note: Note) -> str | None:
    """Return passages as one text, with an empty line between them, or None for a value of another kind.

    Args:
        value: The value of a column of context.
        name: The name of the value in notes.
        note: Callback for sentences about what is changed or not used.
    """
    if (found := passages_of(value)) is None:
        return None
    passages, unused = found
    note(f"{name} is a list of passages; their texts are joined by empty lines, each below its title")
    for key in sorted(unused):
        note(f"the field {key!r} of {name} is not used")
    return "\n\n".join(f"{title}\n{text}" if title else text for title, text in passages)


def _from_object(value: dict[str, Any]) -> tuple[list[tuple[str, str]], set[str]] | None:
    key, title = _key(value, _TEXT_KEYS), _key(value, _TITLE_KEYS)
    texts = value.get(key or "")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) or _are_texts(text) for text in texts):
        return None
    # The names of sections, of which there is one for each text, are titles as well.
    titles = value.get(title or "")
    has_titles = isinstance(titles, list) and len(titles) == len(texts) and all(isinstance(one, str) for one in titles)
    unused = {str(name) for name in value if not is_missing(value[name])} - {key} - ({title} if has_titles else set())
    # HotpotQA on the Hub has the sentences of each passage as a list.
    names = titles if has_titles and isinstance(titles, list) else [""] * len(texts)
    return [(name, _joined(text)) for name, text in zip(names, texts, strict=True)], unused


def _from_objects(value: list[dict[str, Any]]) -> tuple[list[tuple[str, str]], set[str]] | None:
    passages, unused = [], set()
    for item in value:
        key, title = _key(item, _TEXT_KEYS), _key(item, _TITLE_KEYS)
        text = item.get(key or "")
        if key is None or not (isinstance(text, str) or _are_texts(text)):
            return None
        has_title = isinstance(item.get(title or ""), str)
        unused |= {str(name) for name in item if not is_missing(item[name])} - {key} - ({title} if has_title else set())
        passages.append((item[title] if has_title and title else "", _joined(text)))
    return passages, unused


def _key(value: dict[str, Any], wanted: tuple[str, ...]) -> str | None:
    return next((name for name in wanted if not is_missing(value.get(name))), None)


def _is_titled(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and _are_texts(value[1])


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _joined(text: str | list[str]) -> str:
    """Return a text, or sentences as one text; HotpotQA's sentences begin with the space before them."""
    if isinstance(text, str):
        return text
    spaced = all(one[:1].isspace() or before[-1:].isspace() for before, one in itertools.pairwise(text))
    return ("" if spaced else " ").join(text).strip()
