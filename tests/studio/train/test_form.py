import shlex

import pytest

from core.cli import main
from core.errors import StudioError
from core.models import embedded
from core.runs.config import TITLES, QLoRAConfig, applies, group_of, is_basic
from core.runs.presets import PRESETS
from core.runs.yaml_io import to_yaml
from studio.train.form import BASIC, DECIDING, FULL, Form, groups
from studio.train.values import KNOBS, config_of


@pytest.fixture
def do(runs):
    return Form(runs)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_its_reason_and_a_value_for_every_field_but_the_rows(do, name):
    import gradio as gr

    reason, *values = do.preset(name)
    assert reason == PRESETS[name].reason
    given = dict(zip(KNOBS, values, strict=True))
    assert given.pop("subset") == gr.skip(), "which rows are trained on is not a preset's to say"
    assert given == PRESETS[name].config().model_dump(exclude={"subset"})


def test_the_form_is_filled_in_from_a_run_and_from_yaml(do, a_run, tmp_path):
    config = QLoRAConfig(lora_rank=3, sample_prompts="One?\nTwo?", learning_rate=3e-5)
    assert do.from_run(a_run(config=config).id) == list(config.model_dump().values())
    path = tmp_path / "a.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert do.from_file(str(path)) == list(config.model_dump().values())
    path.write_bytes(b"\xff\xfe")
    for ask in (lambda: do.from_run(None), lambda: do.from_file(None), lambda: do.from_file(str(path))):
        with pytest.raises(StudioError):
            ask()


@pytest.mark.parametrize("extent", [BASIC, FULL])
def test_fields_that_do_not_apply_are_hidden_and_the_short_form_is_short(do, extent):
    values = QLoRAConfig(quantization="none", optimizer="adafactor").model_dump()
    updates = do.visible(extent, *(values[name] for name in DECIDING))
    shown = {name: update["visible"] for name, update in zip(KNOBS, updates, strict=False)}
    for name, visible in shown.items():
        assert visible == (applies(name, values) and (extent == FULL or is_basic(name)))
    for names, update in zip(groups().values(), updates[len(KNOBS) :], strict=True):
        assert update["visible"] == any(shown[name] for name in names)


def test_the_command_starts_the_same_run(do, runs, monkeypatch, capsys):
    """The words shown are parsed by the real command line."""
    config = QLoRAConfig(lora_rank=3, packing=False, sample_prompts="What's up?", learning_rate=1e-5, max_steps=2)
    text, command = do.shared(**config.model_dump())
    assert "lora_rank: 3" in text
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "core", "train"]
    taken = []
    monkeypatch.setenv("STUDIO_HOME", str(runs.settings.home))
    monkeypatch.setattr("core.cli.runs.process.submit", lambda store, asked: taken.append(asked) or runs.create(asked))
    assert main([*words[3:], "--detach"]) == 0
    assert taken == [config]


@pytest.mark.parametrize("values", [{"max_length": 0}, {"lora_targets": ","}, {"lora_rank": 1.5}, {"nonsense": 1}])
def test_a_value_that_cannot_be_is_refused_by_its_title_and_group(values):
    [name] = values
    words = rf"{TITLES[name]} \(under {group_of(name)}\)" if name in TITLES else name
    with pytest.raises(StudioError, match=words):
        config_of(values)


def test_an_empty_number_is_asked_for_and_an_empty_text_is_empty():
    with pytest.raises(StudioError, match=r"Rank .* is empty"):
        config_of(QLoRAConfig().model_dump() | {"lora_rank": None})
    assert config_of(QLoRAConfig().model_dump() | {"revision": None}).revision == ""


def test_models_and_subsets_are_offered(do):
    models, subsets = do.on_load()
    assert models["choices"][0][1] == embedded.NAME
    assert subsets["choices"][0][1] == "keeper"
