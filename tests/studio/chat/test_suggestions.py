"""Suggested questions and the invitation."""

import html
import shutil

from core.data import subset


def test_suggest_questions_are_held_out_rows_with_their_answers(parts, tuned, chat):
    chat_id = chat()
    # Without a run the questions are those of the bundled data, which is also the subset of the run.
    for _ in range(2):
        updates = parts.suggestions.suggest(chat_id)
        suggested = updates["suggested"]
        assert updates["suggestions"].visible
        assert len(suggested) == 4
        held_out = dict(parts.suggestions.held_out_questions("keeper"))
        assert all(held_out[question] == answer for question, answer in suggested)
        assert updates["invitation"].count('data-event="suggest"') == 3
        assert suggested[0][0][:40] in html.unescape(updates["invitation"])
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
