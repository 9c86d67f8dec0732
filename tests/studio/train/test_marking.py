"""Invalid settings: a sentence per field, marks at the fields, and values that have no effect."""

import pytest

from core.errors import StudioError
from core.runs.config import TITLES, QLoRAConfig, group_of
from studio.handlers import ShownError, to_page_error
from studio.train.marking import InvalidSettingsError, mark_left_field, marks_fields, parse_config, still_invalid

VALUES = QLoRAConfig().model_dump()


@pytest.mark.parametrize("values", [{"max_length": 0}, {"lora_targets": ","}, {"lora_rank": 1.5}])
def test_parse_config_invalid_value_has_a_sentence_at_its_field(values):
    [name] = values
    with pytest.raises(InvalidSettingsError) as raised:
        parse_config(values)
    assert raised.value.at_fields[name].startswith(TITLES[name])
    assert f"{TITLES[name]} (under {group_of(name)})" in str(raised.value)


def test_parse_config_names_settings_that_disagree_at_the_one_to_change():
    with pytest.raises(InvalidSettingsError) as raised:
        parse_config({"batch_size": 7, "gpus": 2})
    assert list(raised.value.at_fields) == ["batch_size"]
    assert "set Batch size to 6 or 8" in str(raised.value)


def test_parse_config_unknown_setting_raises_and_belongs_to_no_field():
    with pytest.raises(InvalidSettingsError, match="nonsense is not known here") as raised:
        parse_config({"nonsense": 1})
    assert raised.value.at_fields == {}


def test_parse_config_empty_number_raises_and_empty_text_is_kept():
    with pytest.raises(InvalidSettingsError, match=r"Rank .* is empty"):
        parse_config(VALUES | {"lora_rank": None})
    assert parse_config(VALUES | {"revision": None}).revision == ""


@pytest.mark.parametrize(
    ("values", "ignored"),
    [
        ({"max_steps": 5, "epochs": 0}, "epochs"),
        ({"max_steps": 5, "epochs": None}, "epochs"),
        ({"optimizer": "adafactor", "adam_beta2": 7}, "adam_beta2"),
        ({"loss": "dft", "label_smoothing": None}, "label_smoothing"),
    ],
)
def test_parse_config_does_not_refuse_a_setting_that_another_overrides(values, ignored):
    config = parse_config(VALUES | values)
    assert getattr(config, ignored) == QLoRAConfig.model_fields[ignored].default
    with pytest.raises(InvalidSettingsError) as raised:
        parse_config(VALUES | values | {"lora_rank": 0})
    assert list(raised.value.at_fields) == ["lora_rank"]


def test_still_invalid_drops_the_marks_of_repaired_fields_and_adds_none():
    marked = {"lora_rank": "x", "max_length": "x"}
    assert list(still_invalid(marked, VALUES | {"lora_rank": 0, "batch_size": 0})) == ["lora_rank"]
    assert still_invalid(marked, VALUES) == {}


def test_marks_fields_marks_before_the_error_which_is_no_toast():
    updates = marks_fields(lambda **values: parse_config(values) and {"x": 1})
    assert list(updates(**VALUES))[-1]["x"] == 1
    results = updates(**VALUES | {"lora_rank": 0, "seed": -1})
    fields = next(results)["field_errors"]
    assert [field["name"] for field in fields["fields"]] == ["lora_rank", "seed"]
    assert fields["focus"]
    with pytest.raises(ShownError) as raised:
        next(results)
    assert not to_page_error(raised.value).visible
    assert to_page_error(StudioError("x")).visible


def test_leaving_a_field_marks_invalid_ones_without_moving_the_page():
    found = mark_left_field({}, lora_rank=-5)
    assert list(found["marked"]) == ["lora_rank"]
    assert not found["field_errors"]["focus"]
    assert mark_left_field(found["marked"], lora_rank=8)["marked"] == {}
    assert mark_left_field({}, lora_rank=8) == {}
