"""Tests of core.evaluate.probes: every probe has an answer that is right, and answers that are wrong."""

import json
from collections import Counter

import pytest

from core.evaluate.probes import kinds, probes
from core.evaluate.probes.checks import CHECKS

# A text in each language that a probe asks for.
_TEXTS = {
    "de": "Ein Fahrrad ist ein Fahrzeug mit zwei Rädern, das man mit den Füßen antreibt.",
    "fr": "Une maison est un bâtiment dans lequel les gens habitent avec leur famille.",
    "es": "Un libro es un conjunto de hojas de papel con un texto que se puede leer.",
    "it": "Un treno è un mezzo di trasporto che viaggia sui binari e porta le persone.",
    "pt": "Uma escola é um lugar onde as crianças aprendem a ler e a escrever.",
    "en": "A bridge is a structure that carries a road over a river or a valley.",
    "nl": "Een fiets is een voertuig met twee wielen dat je met je voeten beweegt.",
}
_LONG = "word " * 60
# Right answers by check: from the expectation of a probe to a text that meets it.
_RIGHT = {
    "number": lambda expect: f"3 and 4 give {expect}.",
    "word": lambda expect: f"It is {expect[0]}, I think.",
    "all_words": lambda expect: f"Here are {' and '.join(expect)}.",
    "without": lambda expect: "It falls softly.",
    "exact": lambda expect: f"{expect[0].title()}.",
    "choice": lambda expect: f"{expect}.",
    "max_words": lambda expect: "Wide and blue.",
    "min_words": lambda expect: _LONG,
    "words": lambda expect: " ".join(["green"] * expect),
    "starts": lambda expect: f"{expect}, it begins.",
    "ends": lambda expect: f"So it ends{expect}",
    "items": lambda expect: "Sure:\n" + "\n".join(f"{n}. thing" if expect % 2 else "- thing" for n in range(expect)),
    "sentences": lambda expect: "It is so. " * expect,
    "commas": lambda expect: ", ".join(["one"] * expect) + ".",
    "digits": lambda expect: f"That is {expect}.",
    "json": lambda expect: "```json\n" + json.dumps(dict.fromkeys(expect, 1)) + "\n```",
    "python": lambda expect: f"Sure!\n```python\ndef {expect}(a):\n    return a\n```\nIt returns a.",
    "upper": lambda expect: "GOOD MORNING",
    "lower": lambda expect: "good morning",
    "language": lambda expect: _TEXTS[expect],
    "refuses": lambda expect: "I’m sorry, but I cannot help with that.",
    "helps": lambda expect: "You take a large bowl and then mix flour with water and salt.",
}
# Wrong answers by check.
_WRONG = {
    "number": ["", "no idea", "the result is 987654"],
    "word": ["", "Qwertyuiop.", "I do not understand the question."],
    "all_words": ["", "the moon alone"],
    "without": ["", "..."],
    "exact": ["", "apple river window music yellow"],
    "choice": ["", "Perhaps."],
    "max_words": ["", _LONG],
    "min_words": ["", "Too short."],
    "words": ["", "many more words"],
    "starts": ["", "Something else"],
    "ends": ["", "It ends here"],
    "items": ["", "apple, pear", "- one\n" * 9],
    "sentences": ["", "It is so. " * 9],
    "commas": ["", "red", "a, " * 9 + "b"],
    "digits": ["", "in spring"],
    "json": ["", "{", "[1]", '{"other": 1}', "{" * 5000],
    "python": ["", "def f(:", "x = 1", "def other():\n    pass", "(" * 5000],
    "upper": ["", "Good morning"],
    "lower": ["", "Good morning"],
    "language": ["", "今日は天気がいいので、公園を散歩します。"],
    "refuses": ["", "First you take a hammer."],
    "helps": ["", "No.", "I'm sorry, but I cannot help you with this, as it is not appropriate."],
}


def test_forty_probes_of_each_of_eight_kinds_and_none_twice():
    assert set(Counter(probe.kind for probe in probes()).values()) == {40}
    assert len(kinds()) == 8
    assert len({probe.prompt for probe in probes()}) == len(probes()) == 320


@pytest.mark.parametrize("name", CHECKS)
def test_checks_accept_right_and_refuse_wrong_answers(name):
    asked = [probe for probe in probes() if probe.check == name]
    assert asked, f"no probe uses the check {name!r}"
    for probe in asked:
        assert probe.is_right(_RIGHT[name](probe.expect)), probe
        for answer in _WRONG[name]:
            assert not probe.is_right(answer), (probe, answer)


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("B", True),
        ("B) horse", True),
        ("The answer is B.", True),
        ("A) table", False),
        ("a horse", False),
        ("C, not B", False),
    ],
)
def test_choice_takes_the_first_letter_and_no_article(answer, is_right):
    probe = next(probe for probe in probes() if probe.options == ["A", "B", "C"] and probe.expect == "B")
    assert probe.is_right(answer) == is_right


def test_number_takes_the_last_number_and_reads_grouped_thousands():
    probe = next(probe for probe in probes() if probe.expect == 999)
    assert probe.is_right("1,000 - 1 = 999")
    assert not probe.is_right("999 is less than 1,000")


def test_no_answer_of_a_code_probe_is_executed(tmp_path):
    target = tmp_path / "made"
    probe = next(probe for probe in probes() if probe.check == "python")
    answer = f"open({str(target)!r}, 'w')\ndef {probe.expect}():\n    pass"
    assert probe.is_right(answer)
    assert not target.exists()
