"""The form of a run: presets, import, export and its problems."""

import shlex

import gradio as gr
import pytest

from components.field_errors import field_errors
from core.cli import main
from core.data import sources, subset
from core.data.recipe import Recipe
from core.errors import StudioError
from core.models import embedded
from core.runs.config import QLoRAConfig, applies, is_basic
from core.runs.presets import PRESETS
from core.runs.yaml_io import to_yaml
from studio.train.form import ALL, BASIC, FIELDS, FIELDS_WITH_DEPENDENTS, RunForm, group_output, groups


@pytest.fixture
def do(runs):
    return RunForm(runs)


@pytest.mark.parametrize("name", PRESETS)
def test_apply_preset_fills_every_field_except_the_subset(do, name):
    values = do.apply_preset(name)
    assert values.pop("reason") == PRESETS[name].reason
    assert values == PRESETS[name].config().model_dump(exclude={"subset"})
    assert values.keys() == set(FIELDS) - {"subset"}


def test_new_page_trains_on_the_subset_that_was_created_last(do, settings):
    data = sources.open_bundled(settings).id
    subset.create(settings, "all-of-it", Recipe(dataset=data))
    assert "value" not in do.refresh_choices()["subset"], "it comes with the studio"
    subset.create(settings, "ten", Recipe(dataset=data, rows=10))
    assert do.refresh_choices()["subset"]["value"] == "ten"


def test_copy_run_and_import_yaml_fill_every_field(do, a_run, tmp_path):
    config = QLoRAConfig(lora_rank=3, sample_prompts="One?\nTwo?", learning_rate=3e-5)
    assert do.copy_run(a_run(config=config).id) == config.model_dump()
    path = tmp_path / "a.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert do.import_yaml(str(path)) == config.model_dump()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(StudioError, match="No run is selected"):
        do.copy_run(None)
    with pytest.raises(StudioError, match="No YAML file is selected"):
        do.import_yaml(None)
    with pytest.raises(StudioError, match="cannot be read as text"):
        do.import_yaml(str(path))


@pytest.mark.parametrize("extent", [BASIC, ALL])
def test_update_visibility_hides_fields_that_do_not_apply_and_empty_groups(do, extent):
    values = QLoRAConfig(quantization="none", optimizer="adafactor").model_dump()
    updates = do.update_visibility(extent, **{name: values[name] for name in FIELDS_WITH_DEPENDENTS})
    visible = {name: update["visible"] for name, update in updates.items()}
    for name in FIELDS:
        assert visible[name] == (applies(name, values) and (extent == ALL or is_basic(name)))
    for group, names in groups().items():
        assert visible[group_output(group)] == any(visible[name] for name in names)


def test_export_command_is_parsed_by_the_command_line_as_the_same_run(do, runs, monkeypatch, capsys):
    config = QLoRAConfig(lora_rank=3, packing=False, sample_prompts="What's up?", learning_rate=1e-5, max_steps=2)
    exported = do.export_settings(**config.model_dump())
    assert "lora_rank: 3" in exported["yaml"]
    words = shlex.split(exported["command"])
    assert words[:4] == ["python", "-m", "core", "train"]
    submitted = []
    monkeypatch.setenv("STUDIO_HOME", str(runs.settings.home))
    monkeypatch.setattr(
        "core.cli.runs.process.submit", lambda store, config: submitted.append(config) or runs.create(config)
    )
    assert main([*words[3:], "--detach"]) == 0
    assert submitted == [config]


def test_show_extent_basic_is_one_flat_list_and_all_has_closed_groups(do):
    values = {name: QLoRAConfig().model_dump()[name] for name in FIELDS_WITH_DEPENDENTS}
    for extent, is_flat in ((BASIC, True), (ALL, False)):
        updates = do.show_extent(extent, **values)
        assert {updates[group_output(group)]["open"] for group in groups()} == {is_flat}
        assert bool(updates["column"]["elem_classes"]) == is_flat
        for name in FIELDS:
            assert updates[name]["visible"] == (applies(name, values) and (extent == ALL or is_basic(name)))


def test_reveal_shows_all_settings_and_opens_the_group_of_a_hidden_field(do):
    values = {name: QLoRAConfig().model_dump()[name] for name in FIELDS_WITH_DEPENDENTS}
    hidden = field_errors("train", {"lora_dropout": "Too much.", "seed": "Too low."})
    shown = do.reveal(hidden, BASIC, **values)
    assert shown["extent"] == ALL
    assert shown["lora_dropout"]["visible"]
    opened = {group for group in groups() if shown[group_output(group)]["open"]}
    assert opened == {"LoRA", "Evaluation and checkpoints"}
    assert do.reveal(hidden, ALL, **values) == {group_output(group): gr.update(open=True) for group in opened}
    assert do.reveal(field_errors("train", {"lora_rank": "Too low.", "subset": "Gone."}), BASIC, **values) == {}
    assert do.reveal(field_errors("train", {"seed": "Too low."}, focus=False), BASIC, **values) == {}


def test_refresh_choices_lists_models_and_subsets(do):
    updates = do.refresh_choices()
    assert updates["model"]["choices"][0][1] == embedded.NAME
    assert updates["subset"]["choices"][0][1] == "keeper"
