import pytest

from core.evaluate.line_file import LineWriter
from studio.evaluate.evaluation_view import EvaluationView
from studio.evaluate.verdict_view import Comparison, VerdictView
from tests.helpers.scored_evaluation import scored_evaluation


@pytest.fixture
def scored(settings, tmp_path):
    return scored_evaluation(settings, tmp_path)


@pytest.mark.parametrize(("gain", "head"), [(0.5, "Better"), (-0.5, "Worse"), (0.0, "Unclear")])
def test_verdict_is_the_first_thing_that_is_shown(settings, tmp_path, gain, head):
    store, evaluation = scored_evaluation(settings, tmp_path, gain)
    shown = VerdictView(store).show(evaluation, ["base", "tuned"], Comparison(0, 1))
    assert f"<h3>{head}" in shown["verdict"]
    assert "tuned compared with base" in shown["verdict"]
    assert "Decided by Loss on the reference" in shown["verdict"]
    assert 'data-key="loss"' in shown["differences"]
    assert "Loss on the reference" in shown["explanations"]
    assert shown["grouping"]["choices"] == ["language", "prompt length"]
    assert 'data-key="de"' in shown["groups"]
    assert [lane for _, lane in shown["first"]["choices"]] == ["0", "1"]


def test_another_metric_decides_and_an_unknown_one_falls_back(scored):
    store, evaluation = scored
    view = VerdictView(store)
    assert "Decided by Word F1" in view.show(evaluation, ["a", "b"], Comparison(0, 1, "word_f1"))["verdict"]
    shown = view.show(evaluation, ["a", "b"], Comparison(0, 1, "accuracy"))
    assert (shown["metric"]["value"], "Decided by Loss" in shown["verdict"]) == ("auto", True)


def test_more_of_a_metric_without_a_better_direction_is_no_gain(settings, tmp_path):
    store, evaluation = scored_evaluation(settings, tmp_path, guard=True)
    view, compared = VerdictView(store), Comparison(0, 1, "compression", "language")
    assert view._gain(evaluation, Comparison(0, 1, "loss"), 1) > 0
    assert view._gain(evaluation, compared, 1) is None
    shown = view.show(evaluation, ["base", "tuned"], compared)
    assert "<span>← worse</span>" not in shown["groups"]
    primary, others = shown["differences"].split("</table>", 1)
    assert ('data-key="compression"' in primary, "<span>← less</span>" in primary) == (True, True)
    assert 'data-key="loss"' in others
    page = EvaluationView(store)
    page.change_comparison(evaluation.id, 25, metric="compression")
    sides = page.change_selection(evaluation.id, 25, {}, {"metric": "compression"})["side"]["choices"]
    assert [title.split(" (")[0] for title, _ in sides] == ["All", "More", "Less"]


def test_a_selection_without_rows_says_so(scored):
    store, evaluation = scored
    view = EvaluationView(store)
    shown = view.change_selection(evaluation.id, 25, {}, {"metric": "exact_match", "side": "worse"})
    assert "No row is in this selection." in shown["table"]
    assert "answered by every model" not in shown["table"]


@pytest.mark.parametrize("value", [None, "", "9", "-1", "x", "²", "1" * 5_000, 7, ["0"]])
def test_lanes_of_a_caller_are_checked(scored, value):
    store, evaluation = scored
    compared = VerdictView(store).compare(evaluation, value, value, None, None)
    assert (compared.first, compared.second) == (0, 1)


def test_comparing_a_model_with_itself_takes_another_one(scored):
    store, evaluation = scored
    compared = VerdictView(store).compare(evaluation, "1", "1", None, None)
    assert (compared.first, compared.second) == (1, 0)


def test_scores_that_do_not_match_the_answers_offer_to_compute_them(settings, tmp_path):
    store, evaluation = scored_evaluation(settings, tmp_path, scored=False)
    shown = VerdictView(store).show(evaluation, ["base", "tuned"], Comparison(0, 1))
    assert "must be computed once" in shown["verdict"]
    assert shown["score"]["visible"]
    assert shown["differences"] == ""
    evaluation.save_state(evaluation.saved_state().model_copy(update={"status": "paused"}))
    shown = VerdictView(store).show(evaluation, ["base", "tuned"], Comparison(0, 1))
    assert not shown["score"]["visible"]


def test_one_model_gets_no_verdict(settings, tmp_path):
    store, evaluation = scored_evaluation(settings, tmp_path)
    assert "gives no verdict" in VerdictView(store).show(evaluation, ["base"], Comparison(0, 0))["verdict"]


def test_page_links_numbers_to_rows(scored):
    store, evaluation = scored
    view = EvaluationView(store)
    shown = view.render(evaluation.id, 1, 25)
    assert shown["metrics"] == "", "the differences have the same numbers"
    assert "change of Loss on the reference" in shown["table"]
    picked = view.change_selection(evaluation.id, 25, {}, {"metric": "word_f1"})
    assert "change of Word F1" in picked["table"]
    group = {"grouping": "language", "label": "de"}
    picked = view.change_selection(evaluation.id, 25, picked["selection"], group)
    assert picked["position"] == "rows 1 to 10 of 10, page 1 of 1"
    assert picked["group_filter"]["value"] == "language: de ✕"
    assert picked["selection"] == {"metric": "word_f1", **group}
    changed = view.change_comparison(evaluation.id, 25, first="1", second="0")
    assert (changed["selection"], "<h3>Worse" in changed["verdict"]) == ({}, True)
    assert "de" in view.show_groups(evaluation.id, grouping="language")["groups"]


def test_probes_and_labels_have_their_sections(settings, tmp_path):
    store, evaluation = scored_evaluation(settings, tmp_path, guard=True)
    shown = VerdictView(store).show(evaluation, ["base", "tuned"], Comparison(0, 1))
    assert "No clear loss of general ability" in shown["ability"]
    assert "Arithmetic" in shown["ability"]
    assert shown["classes"] == ""


def test_hostile_labels_and_titles_are_shown_inert(settings, tmp_path):
    store, evaluation = scored_evaluation(settings, tmp_path)
    shown = VerdictView(store).show(evaluation, ["<img src=x>", "<b>"], Comparison(0, 1))
    assert not any("<img" in part for part in shown.values() if isinstance(part, str))


def test_new_answers_drop_the_verdict(scored):
    store, evaluation = scored
    view = EvaluationView(store)
    before = view.fingerprint(evaluation.id)
    writer = LineWriter(evaluation.answers_file)
    writer.write([{"prompt": 99, "lane": 0, "text": "", "tokens": 0, "end": "end", "note": ""}])
    writer.close()
    assert view.fingerprint(evaluation.id) != before
    assert VerdictView(store).read(evaluation, Comparison(0, 1)) is None
