from typing import get_args

import pytest

from core.chat.turns import BASE
from core.errors import StudioError
from core.evaluate.config import EvaluationConfig, PromptKind
from core.runs import checkpoints
from core.runs.checkpoints import Checkpoint
from core.runs.config import QLoRAConfig
from core.runs.store import Parent
from core.system.files import write_json
from studio.evaluate.start_form import StartForm, parse_config
from studio.evaluate.start_layout import PROMPT_KINDS
from studio.handlers import ShownError


@pytest.fixture
def do(store):
    return StartForm(store)


def with_adapter(run):
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    return run


def selection(updates):
    return updates["run"]["value"], updates["lanes"]["value"]


def test_form_offers_every_kind_of_prompts():
    assert [kind for _, kind in PROMPT_KINDS] == list(get_args(PromptKind))


def test_refresh_choices_without_an_adapter_shows_a_hint_and_selects_the_base(do):
    updates = do.refresh_choices(None, [BASE])
    assert selection(updates) == (None, [BASE])
    assert updates["hint"]["visible"]
    assert updates["subset"]["choices"] == [("keeper (340 rows)", "keeper")]
    assert updates["model"]["choices"]


def test_refresh_choices_selects_the_newest_adapter_and_keeps_a_selection(do, a_run):
    old, new = with_adapter(a_run(created=1.0)), with_adapter(a_run(created=2.0))
    # This run has no adapter yet.
    a_run(created=3.0)
    updates = do.refresh_choices(None, [BASE])
    assert selection(updates) == (new.id, [BASE, new.id])
    assert not updates["hint"]["visible"]
    assert selection(do.refresh_choices(old.id, [old.id, "gone"])) == (old.id, [old.id])


def test_refresh_choices_with_a_checkpoint_alone_shows_no_hint(do, a_run):
    run = a_run(status="stopped")
    checkpoints.folder_of(run.checkpoints_dir, 64).mkdir(parents=True)
    checkpoints.mark_complete(run.checkpoints_dir, Checkpoint(step=64))
    updates = do.refresh_choices(None, [BASE])
    assert len(updates["lanes"]["choices"]) == 2
    assert not updates["hint"]["visible"]


def test_proposed_lane_follows_the_run_and_a_chosen_one_stays(do, a_run):
    old = with_adapter(a_run(created=1.0))
    first = do.refresh_choices(None, [BASE])
    assert first["proposed"] == {"run": old.id, "lane": old.id}
    new = with_adapter(a_run(created=2.0))
    second = do.refresh_choices(old.id, [BASE, old.id], first["proposed"])
    assert selection(second) == (new.id, [BASE, new.id]), "what was only proposed moves on to the newer run"
    followed = do.follow_run(old.id, [BASE, new.id], second["proposed"])
    assert followed["lanes"]["value"] == [BASE, old.id]
    assert selection(do.refresh_choices(old.id, [BASE, old.id], followed["proposed"])) == (old.id, [BASE, old.id])
    assert do.follow_run(new.id, [BASE, new.id], second["proposed"]) == {}, "the list was left as it was"
    assert "lanes" not in do.follow_run(old.id, [BASE], second["proposed"]), "the user removed the proposed lane"


def test_run_that_was_duplicated_is_proposed_beside_its_parent(do, a_run):
    old = with_adapter(a_run(created=1.0))
    first = do.refresh_choices(None, [BASE])
    child = with_adapter(a_run(created=2.0))
    write_json(child.parent_file, Parent(run=old.id, title="", config=old.config()).model_dump())
    second = do.refresh_choices(old.id, [BASE, old.id], first["proposed"])
    assert selection(second) == (child.id, [old.id, child.id])
    assert selection(do.refresh_choices(None, [BASE])) == (child.id, [old.id, child.id])
    other = with_adapter(a_run(created=3.0, config=QLoRAConfig(quantization="int8")))
    write_json(other.parent_file, Parent(run=old.id, title="", config=old.config()).model_dump())
    assert selection(do.refresh_choices(None, [BASE])) == (other.id, [BASE, other.id]), "it has other base weights"
    back = do.follow_run(old.id, [old.id, child.id], second["proposed"])
    assert back["lanes"]["value"] == [BASE, old.id]


@pytest.mark.parametrize(
    ("prompts", "visible"), [("held-out", {"run"}), ("subset", {"subset", "split"}), ("file", {"upload"})]
)
def test_update_visibility_shows_what_the_prompts_need(do, prompts, visible):
    assert {name for name, update in do.update_visibility(prompts).items() if update["visible"]} == visible


def form(**values):
    fields = EvaluationConfig.model_fields.items()
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields}
    return defaults | {"run": None, "subset": None} | values


def test_parse_config_drops_fields_that_the_prompts_do_not_use():
    config = parse_config(None, form(prompts="subset", subset="keeper", run="left over", split="train"))
    assert config == EvaluationConfig(subset="keeper", split="train")
    assert parse_config("/tmp/up/list.txt", form(prompts="file", subset="left over")) == EvaluationConfig(
        file="list.txt"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompts": "file"}, "No file is selected"),
        ({"prompts": "subset"}, "no subset is named"),
        ({"prompts": "held-out"}, "no run is named"),
        ({"prompts": "subset", "subset": "keeper", "lanes": []}, "No model is selected"),
        ({"prompts": "subset", "subset": "keeper", "seed": None}, "Seed is empty"),
        ({"prompts": "subset", "subset": "keeper", "temperature": 9}, r"Temperature must be at most 2 .given: 9"),
        ({"prompts": "all of them"}, "Prompts must be"),
    ],
    ids=str,
)
def test_parse_config_invalid_values_are_named_by_their_labels(values, message):
    with pytest.raises(StudioError, match=message):
        parse_config(None, form(**values))


def test_start_invalid_settings_raises_and_creates_nothing(do, a_run):
    for values, message in (
        ({"lanes": ["../runs"]}, "cannot be used"),
        ({"lanes": ["no-such-run"]}, "There is no run"),
        ({"lanes": [a_run().id]}, "has no adapter 'final'"),
        ({"subset": "none"}, "There is no subset"),
    ):
        with pytest.raises(StudioError, match=message):
            do.start(None, **form(prompts="subset", **({"subset": "keeper"} | values)))
    assert do.store.all() == []


def test_check_marks_invalid_fields_and_opens_the_part_that_has_them():
    values = {name: field.default for name, field in EvaluationConfig.model_fields.items()}
    values |= {"prompts": "subset", "subset": "keeper", "lanes": ["base"]}
    assert [update["field_errors"]["fields"] for update in StartForm.check(None, **values)] == [[]]
    for name, is_inside in (("limit", False), ("temperature", True)):
        marks = StartForm.check(None, **values | {name: -3})
        shown = next(marks)
        assert [field["element"] for field in shown["field_errors"]["fields"]] == [f"evaluate-field-{name}"]
        assert ("more" in shown) == is_inside
        with pytest.raises(ShownError):
            next(marks)
    nothing = next(StartForm.check(None, **values | {"prompts": "file"}))
    assert nothing["field_errors"]["fields"][0]["element"] == "evaluate-upload"
