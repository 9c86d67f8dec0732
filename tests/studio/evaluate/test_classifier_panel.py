import pytest

from core.errors import StudioError
from core.evaluate.classification.classifiers import Predicted
from core.system.files import write_json
from core.system.jobs import Jobs
from studio.evaluate.classifier_panel import ClassifierActions
from studio.evaluate.evaluation_view import EvaluationView
from tests.helpers.scored_evaluation import scored_evaluation


@pytest.fixture
def do(settings, tmp_path):
    store, evaluation = scored_evaluation(settings, tmp_path)
    return ClassifierActions(EvaluationView(store), Jobs()), evaluation


def test_without_a_classifier_the_panel_is_hidden(do):
    assert not do[0].list_classifiers()["panel"]["visible"]


@pytest.mark.parametrize("chosen", [(None, "run"), ("evaluation", None), (None, None)])
def test_nothing_selected_is_refused(do, chosen):
    with pytest.raises(StudioError, match="Select an evaluation and a classifier first"):
        list(do[0].classify(*chosen))


def test_references_that_are_no_labels_are_refused_and_show_nothing(do):
    actions, evaluation = do
    with pytest.raises(StudioError, match="are no labels"):
        list(actions.classify(evaluation.id, "run-1"))
    folder = evaluation.folder / "classifiers"
    folder.mkdir()
    predicted = Predicted(run="run-1", adapter="final", labels=["a"] * 40, shares=[0.5] * 40, notes=[])
    write_json(folder / "run-1-final.json", predicted.model_dump())
    assert actions.show(evaluation.id) == {"classified": ""}
    assert actions.show(None) == {"classified": ""}
