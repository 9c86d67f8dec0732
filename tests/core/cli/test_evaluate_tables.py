"""Parts of the verdict on the command line: general ability and labels, with planted answers."""

import json

import numpy as np

from core.cli.evaluate_tables import print_ability, print_classes, tables_as_json
from core.evaluate.classification.labels import find_labels
from core.evaluate.classification.scoring import Classification
from core.evaluate.classification.tables import UNPARSED
from core.evaluate.guard import Ability
from core.evaluate.probes import kinds, probes

TITLES = ["base", "step 10", "tuned"]


def planted(*shares):
    """Return the ability of lanes that answer the first probes of each kind rightly."""
    size = len(probes()) // 8
    return Ability(np.array([[number % size < share * size for number in range(len(probes()))] for share in shares],
                            dtype=float))  # fmt: skip


def labeled():
    names = ["bad", "good"] * 20
    true = np.array([0, 1] * 20)
    nothing, unknown = np.full((3, 40), UNPARSED), np.full((3, 40, 2), np.nan)
    answered = np.stack([np.full(40, UNPARSED), np.zeros(40, int), true])
    return Classification(find_labels(names), true, answered, np.ones((3, 40), bool), nothing, nothing, unknown)


def test_ability_is_printed_with_its_sentences_and_each_kind(capsys):
    print_ability(planted(0.8, 0.8, 0.2), ["The gain costs general ability.", ""], 0, 2)
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["", "The gain costs general ability."]
    assert "  arithmetic: 80.0% to 20.0%" in shown
    assert len(shown) == 2 + len(kinds())


def test_labels_are_printed_per_lane_with_their_tables(capsys):
    print_classes(labeled(), TITLES)
    shown = capsys.readouterr().out
    assert "  base, by the written answer: accuracy 0.0%, macro-F1 0.000, no label in 100.0%" in shown
    assert "  tuned, by the written answer: accuracy 100.0%, macro-F1 1.000" in shown
    assert "    'good': 20 rows, precision unknown, recall 0.0%, F1 0.000" in shown
    assert "likeliest" not in shown, "no likelihood was computed"


def test_tables_as_json_hold_every_lane():
    found = json.loads(json.dumps(tables_as_json(planted(0.5, 1, 0), labeled(), 3), allow_nan=False))
    assert [lane["all"] for lane in found["ability"]] == [0.5, 1, 0]
    assert found["labels"][1]["answered"]["confusion"] == [[20, 0, 0], [20, 0, 0]]
    assert tables_as_json(None, None, 2) == {"ability": None, "labels": None}
