"""Suggested questions and the invitation."""

import html
import shutil

from core.access.roles import Caller, Role, acting
from core.data import subset
from core.data.table import HELD_OUT
from core.errors import StudioError
from studio.chat import suggestions
from studio.wiring import check_state_size


def test_suggest_questions_are_held_out_rows_with_their_answers(parts, tuned, chat):
    chat_id = chat()
    # Without a run the questions are those of the bundled data, which is also the subset of the run.
    for note in (suggestions._CONVERTING_NOTE, suggestions._LOADING_NOTE):
        updates = parts.suggestions.suggest(chat_id)
        suggested = updates["suggested"]
        assert updates["suggestions"].visible
        assert len(suggested) == 4
        held_out = dict(parts.suggestions.held_out_questions("keeper"))
        assert all(held_out[question] == answer for question, answer in suggested)
        assert updates["invitation"].count('data-event="suggest"') == 3
        assert suggested[0][0][:40] in html.unescape(updates["invitation"])
        assert note in updates["invitation"], "the embedded model is not converted here; the run's model is there"
        tuned()
        parts.picker.refresh(chat_id)


def test_held_out_questions_deleted_subset_gives_none(parts):
    assert parts.suggestions.held_out_questions("no-such-subset") == []


def test_held_out_questions_reads_a_subset_once_until_it_is_another(parts, monkeypatch):
    read, load = [], subset.load
    monkeypatch.setattr(subset, "load", lambda settings, name: read.append(name) or load(settings, name))
    settings = parts.suggestions.settings
    for _ in range(3):
        questions = parts.suggestions.held_out_questions("keeper")
    assert read == ["keeper"]
    recipe = subset.find(settings, "keeper").recipe
    shutil.rmtree(settings.subsets_dir / "keeper")
    assert parts.suggestions.held_out_questions("keeper") == []
    subset.create(settings, "keeper", recipe.model_copy(update={"excluded": [0]}))
    parts.suggestions.held_out_questions("keeper")
    assert read == ["keeper", "keeper"]
    assert len(questions) <= 500


def messages(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def test_held_out_questions_leave_out_those_too_long_for_a_page(parts, monkeypatch):
    most = suggestions.MAX_SUGGESTED_CHARACTERS
    rows = [messages("\U0001f600" * (most - 1), "a"), messages("q", "a" * most), messages("b" * 10**6, "a")]
    monkeypatch.setattr(subset, "load", lambda settings, name: {HELD_OUT: list(enumerate(rows))})
    found = parts.suggestions.held_out_questions("keeper")
    assert [len(question) for question, _ in found] == [most - 1]
    with acting(Caller(Role.VISITOR, "anonymous a")):
        check_state_size([list(found[0]) for _ in range(4)])


def test_held_out_questions_of_a_subset_without_its_files_are_none(parts, monkeypatch):
    def load(settings, name):
        raise StudioError("Its rows are gone.")

    monkeypatch.setattr(subset, "load", load)
    assert parts.suggestions.held_out_questions("keeper") == []


def test_suggestions_follow_the_run_of_the_lanes_and_stay_otherwise(parts, tuned, chat):
    chat_id = chat()
    first = parts.suggestions.suggest(chat_id)
    assert first["suggested_for"] == ""
    assert parts.suggestions.follow(chat_id, "") == {}, "the questions would change under the reader's eyes"
    run = tuned()
    parts.picker.refresh(chat_id)
    assert parts.suggestions.follow(chat_id, "")["suggested_for"] == run.id
    assert parts.suggestions.follow(chat_id, run.id) == {}
    assert parts.suggestions.follow("", "") == {}, "no chat is open yet"
