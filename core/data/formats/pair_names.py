"""Proposals for two columns whose names say how their texts belong together: translations, rewrites, found passages.

Translations are offered in both directions. The negatives of a retrieval dataset answer nothing.
"""

from collections.abc import Iterator
from itertools import permutations

from core.data.formats import columns as names
from core.data.formats.columns import find_column, name_words
from core.data.formats.empty_answers import is_wrong_name
from core.data.formats.proposal import QUESTION_NAMES, Columns, Proposal, Rows, count_present, make_proposal
from core.data.formats.values import is_missing

# Languages by their codes and names, and scripts and regions that follow a code.
_LANGUAGE_NAMES = (
    "en de fr es it pt nl pl ru uk cs sk sl hr sr bg ro hu fi sv da nb nn no is et lv lt el tr ar he fa ur hi bn ta te "
    "ml mr gu pa ne si th vi id ms tl ja ko zh yue ka hy az kk uz mn km lo my sw am ha yo ig zu xh af eu ca gl cy ga "
    "eng deu ger fra fre spa ita por nld dut pol rus ukr ces cze jpn kor zho chi ara heb hin ben tur vie ind tha swe "
    "dan fin nor ell hun ron rum tam tel urd fas swa "
    "english german french spanish italian portuguese dutch polish russian ukrainian czech slovak slovenian croatian "
    "serbian bulgarian romanian hungarian finnish swedish danish norwegian icelandic estonian latvian lithuanian greek "
    "turkish arabic hebrew persian farsi urdu hindi bengali tamil telugu malayalam marathi gujarati punjabi nepali "
    "thai vietnamese indonesian malay tagalog filipino japanese korean chinese mandarin cantonese georgian armenian "
    "kazakh uzbek mongolian khmer lao burmese swahili amharic hausa yoruba igbo zulu afrikaans basque catalan galician "
    "welsh irish latin deutsch français francais español espanol italiano português portugues nederlands polski "
    "русский українська 中文 英文 日文 日本語 英語 한국어 영어 العربية हिन्दी"
)
LANGUAGES = frozenset(_LANGUAGE_NAMES.split())
_REGIONS = frozenset(
    ("us", "gb", "br", "cn", "tw", "hk", "in", "latn", "cyrl", "hans", "hant", "arab", "deva", "jpan", "hang")
)
# Words of a text and of its translation, of which either may be the question.
_SIDES = (("source", "target"), ("src", "tgt"), ("src", "trg"), ("original", "translation"), ("original", "translated"))
_SIDE_WORDS = frozenset(word for pair in _SIDES for word in pair)
# Words of a text and of the better one that is written for it.
_REWRITES = (
    ("incorrect", "correct"), ("incorrect", "corrected"), ("wrong", "right"), ("wrong", "correct"), ("bad", "good"),
    ("noisy", "clean"), ("dirty", "clean"), ("original", "corrected"), ("original", "edited"),
    ("original", "rewritten"), ("original", "revised"), ("original", "proposed"), ("original", "improved"),
    ("old", "revised"), ("draft", "revised"), ("before", "edited"),
    ("original", "simplified"), ("original", "paraphrase"), ("original", "paraphrased"),
    ("complex", "simple"), ("complex", "simplified"), ("normal", "simple"), ("informal", "formal"),
    ("toxic", "neutral"), ("toxic", "civil"), ("toxic", "detoxified"), ("buggy", "fixed"), ("buggy", "correct"),
    ("before", "after"), ("old", "new"), ("biased", "neutral"), ("raw", "clean"), ("draft", "final"),
    ("ungrammatical", "grammatical"), ("error", "correction"), ("text", "paraphrase"), ("text", "correction"),
    ("sentence", "correction"), ("sentence", "paraphrase"),
)  # fmt: skip
_POSITIVE_NAMES = (
    "positive", "positives", "pos", "positive_passage", "positive_passages", "positive_doc", "positive_document",
    "relevant_passage", "positive_ctx", "positive_text",
)  # fmt: skip
_ASKING_NAMES = (*QUESTION_NAMES, "anchor", "claim", "search_query")
# Columns that are read by their names, and are no answer to the only other text.
_OTHER_NAMES = (*QUESTION_NAMES, *names.CHOSEN_NAMES, *names.REJECTED_NAMES)
_QUESTION_MARKS = ("?", "？", "؟")
_MAX_PAIRS = 6
_MIN_QUESTION_WORDS = 3


def propose_named_pairs(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose a question with a found passage, a text with its better version, and translations; always with doubt."""
    asked, positive = find_column(list(found), _ASKING_NAMES), find_column(list(found), _POSITIVE_NAMES)
    if asked and positive and found[asked].kind in ("prose", "short") and found[positive].kind != "empty":
        doubt = f"{positive!r} may be the answer to {asked!r}, as in a dataset for search; the negatives are not used"
        yield _pair(rows, found, asked, positive, doubt)
    texts = [name for name, column in found.items() if column.kind in ("prose", "short")]
    prose = [name for name in texts if found[name].kind == "prose"]
    yield from _middle(rows, found)
    if len(texts) != 2 and len(prose) == 2:
        yield from _asked(rows, found, prose)
    if len(texts) == 2:
        yield from _repeated(rows, found, texts)
        yield from _asked(rows, found, texts)
    for first, second in permutations(texts, 2):
        if _differ_by(first, second, _REWRITES):
            yield _pair(rows, found, first, second, f"{second!r} may be the better text for {first!r}")
    both = [pair for pair in permutations(texts, 2) if _are_languages(*pair) or _are_sides(*pair)]
    for first, second in both[:_MAX_PAIRS]:
        doubt = f"{first!r} and {second!r} may be translations of each other, of which either may be the question"
        yield _pair(rows, found, first, second, doubt)


def is_negative(name: str, found: Columns) -> bool:
    """Return whether a column holds wrong answers or passages, and no text that another column corrects."""
    return is_wrong_name(name) and not any(_differ_by(name, other, _REWRITES) for other in found)


def _asked(rows: Rows, found: Columns, texts: list[str]) -> Iterator[Proposal]:
    """Propose the only two texts as question and answer, if those of one, and not of the other, are questions."""
    for question, answer in permutations(texts, 2):
        is_other = is_wrong_name(answer) or find_column([answer], _OTHER_NAMES) or "id" in name_words(question)
        if not is_other and _are_questions(rows, question) and not _are_questions(rows, answer):
            doubt = f"the texts in {question!r} are questions, which {answer!r} may answer"
            yield _pair(rows, found, question, answer, doubt)


def _middle(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the middle of a text between its beginning and its end, as code models learn to fill it in."""
    parts = [find_column(list(found), (word,)) for word in ("prefix", "suffix", "middle")]
    if all(name and found[name].kind not in ("empty", "nested") for name in parts):
        prefix, suffix, middle = map(str, parts)
        doubt = f"{middle!r} may be the text between {prefix!r} and {suffix!r}, which are then the question"
        slots = {"prompt": prefix, "context": suffix, "completion": middle}
        evidence = f"a beginning in {prefix!r}, an end in {suffix!r} and the text between them in {middle!r}"
        yield make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, *slots.values()), doubt)


def _repeated(rows: Rows, found: Columns, texts: list[str]) -> Iterator[Proposal]:
    """Propose a question that comes back in several rows with the first text, which the second one answers.

    So it is with the answers of students and the remarks of their teacher.
    """
    asked = find_column([name for name in found if found[name].kind == "category"], QUESTION_NAMES)
    values = [str(row[asked]) for row in rows if asked and not is_missing(row.get(asked))]
    if asked is None or all(len(value.split()) < _MIN_QUESTION_WORDS for value in values):
        return
    first, second = texts
    doubt = f"{asked!r}, which comes back in several rows, with {first!r} may be the question that {second!r} answers"
    evidence = f"a question in {asked!r} and {first!r}, and an answer in {second!r}"
    slots = {"prompt": asked, "context": first, "completion": second}
    yield make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, asked, *texts), doubt)


def _are_questions(rows: Rows, name: str) -> bool:
    values = [str(row[name]).rstrip() for row in rows if name in row and not is_missing(row[name])]
    return 2 * sum(value.endswith(_QUESTION_MARKS) for value in values) > len(values)


def _pair(rows: Rows, found: Columns, question: str, answer: str, doubt: str) -> Proposal:
    evidence = f"a question in {question!r} and an answer in {answer!r}"
    slots = {"prompt": question, "completion": answer}
    return make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, question, answer), doubt)


def _difference(first: str, second: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words of each of two names that the other one does not have."""
    one, two = name_words(first), name_words(second)
    return tuple(word for word in one if word not in two), tuple(word for word in two if word not in one)


def _differ_by(first: str, second: str, pairs: tuple[tuple[str, str], ...]) -> bool:
    one, two = _difference(first, second)
    return len(one) == len(two) == 1 and (one[0], two[0]) in pairs


def _are_sides(first: str, second: str) -> bool:
    return _differ_by(first, second, _SIDES) or _differ_by(second, first, _SIDES)


def _are_languages(first: str, second: str) -> bool:
    sides = _difference(first, second)
    return all(LANGUAGES & set(side) and set(side) <= LANGUAGES | _REGIONS | _SIDE_WORDS for side in sides)
