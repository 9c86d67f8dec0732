"""QLoRAConfig: every setting is described and bounded, and accepts numbers of the form and the command line."""

import json
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.runs.config import Group, QLoRAConfig, applies, group_of, is_basic

FIELDS = QLoRAConfig.model_fields
WHOLE = [name for name, field in FIELDS.items() if field.annotation is int]


def bounds(name):
    """(value just outside, value at the edge that is allowed, or None) for each bound of a field."""
    unit = 1 if name in WHOLE else 1e-6
    for rule in FIELDS[name].metadata:
        for kind, outside, inside in (
            ("ge", -unit, 0),
            ("gt", 0, unit),
            ("le", unit, 0),
            ("lt", 0, -unit),
        ):
            edge = getattr(rule, kind, None)
            if edge is not None:
                yield edge + outside, edge + inside


BOUNDS = [(name, outside, edge) for name in FIELDS for outside, edge in bounds(name)]


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_title_help_group_and_default(name):
    field = FIELDS[name]
    assert field.title
    assert field.description.endswith((".", "!"))
    assert group_of(name) in get_args(Group)
    assert not field.is_required()


def test_titles_are_unique():
    titles = [field.title for field in FIELDS.values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(("name", "outside", "edge"), BOUNDS)
def test_value_outside_the_bounds_is_rejected(name, outside, edge):
    assert getattr(QLoRAConfig(**{name: edge}), name) == edge
    with pytest.raises(ValidationError) as raised:
        QLoRAConfig(**{name: outside})
    assert raised.value.errors()[0]["loc"] == (name,)


def test_every_number_has_bounds():
    numbers = {name for name, field in FIELDS.items() if field.annotation in (int, float)}
    assert numbers == {name for name, _, _ in BOUNDS}


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.annotation is float])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_float_is_rejected(name, value):
    with pytest.raises(ValidationError, match=f"{name}\n  Input should be"):
        QLoRAConfig(**{name: value})


@settings(deadline=None)
@given(st.sampled_from(WHOLE), st.integers(16, 512))
def test_integer_setting_accepts_whole_float(name, value):
    # A batch needs a row for each GPU.
    value = 8 if name == "gpus" else value
    taken = getattr(QLoRAConfig(**{name: float(value)}), name)
    assert taken == value
    assert isinstance(taken, int)


@pytest.mark.parametrize("name", WHOLE)
def test_integer_setting_rejects_fraction(name):
    with pytest.raises(ValidationError, match=f"{name}\n  Input should be a valid integer"):
        QLoRAConfig(**{name: 20.5})


# In these settings an empty text means none.
MAY_BE_EMPTY = {"revision", "sample_prompts", "modules_to_save", "start_adapter"}


@pytest.mark.parametrize(
    "name", [name for name, field in FIELDS.items() if field.annotation is str and name not in MAY_BE_EMPTY]
)
def test_required_text_rejects_empty(name):
    with pytest.raises(ValidationError, match=f"{name}\n"):
        QLoRAConfig(**{name: ""})


def test_unknown_choice_is_rejected_with_the_choices():
    with pytest.raises(ValidationError, match="'nf4', 'fp4', 'int8' or 'none'"):
        QLoRAConfig(quantization="nf5")


def test_unknown_field_is_rejected():
    with pytest.raises(ValidationError, match="lora_r\n"):
        QLoRAConfig(lora_r=8)


def test_all_problems_are_reported_at_once():
    with pytest.raises(ValidationError) as raised:
        QLoRAConfig(max_length=0, lora_rank=0, learning_rate=-1)
    assert {problem["loc"][0] for problem in raised.value.errors()} == {"max_length", "lora_rank", "learning_rate"}


@pytest.mark.parametrize(
    ("reported", "meant"),
    [
        ("all-linear", ["all-linear"]),
        ("All-Linear", ["all-linear"]),
        ("attention, MLP", ["attention", "mlp"]),
        ("q_proj", ["q_proj"]),
        (" q_proj , v_proj,, ", ["q_proj", "v_proj"]),
    ],
)
def test_target_modules_are_split_at_commas(reported, meant):
    assert QLoRAConfig(lora_targets=reported).target_names == meant


@pytest.mark.parametrize("reported", [",", " ", " , ,"])
def test_target_modules_without_a_name_are_rejected(reported):
    with pytest.raises(ValidationError, match="all-linear"):
        QLoRAConfig(lora_targets=reported)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "lora_rank": st.integers(1, 512),
            "learning_rate": st.floats(1e-9, 1),
            "subset": st.text(min_size=1),
            "packing": st.booleans(),
            "scheduler": st.sampled_from(["constant", "linear", "cosine"]),
        },
    )
)
def test_config_survives_json_round_trip(values):
    config = QLoRAConfig(**values)
    assert QLoRAConfig.model_validate(json.loads(json.dumps(config.model_dump()))) == config


def test_short_form_has_about_a_dozen_settings():
    assert 9 <= sum(is_basic(name) for name in FIELDS) <= 14


def test_conditions_name_existing_settings_and_values():
    for name, field in FIELDS.items():
        for other, allowed in field.json_schema_extra["when"].items():
            assert other != name
            for value in allowed:
                QLoRAConfig.__pydantic_validator__.validate_assignment(QLoRAConfig.model_construct(), other, value)


@pytest.mark.parametrize(
    ("name", "values", "shown"),
    [
        ("double_quantization", {"quantization": "nf4"}, True),
        ("double_quantization", {"quantization": "none"}, False),
        ("adam_beta2", {"optimizer": "adafactor"}, False),
        ("packing", {"attention": "eager"}, False),
        ("label_smoothing", {"loss": "dft"}, False),
        ("lora_rank", {}, True),
    ],
)
def test_setting_without_effect_does_not_apply(name, values, shown):
    assert applies(name, QLoRAConfig().model_dump() | values) == shown


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"lora_init": "pissa"}, "PiSSA changes the base weights"),
        ({"lora_init": "loftq", "quantization": "int8"}, "LoftQ corrects the error of NF4"),
        ({"lora_init": "loftq", "lora_dora": True}, "DoRA cannot be combined with"),
        ({"keep_best": True, "eval_rows": 0}, "needs held-out rows"),
        ({"batch_size": 7, "gpus": 2}, "7 rows cannot be shared evenly by 2 GPUs: set Batch size to 6 or 8"),
        ({"batch_size": 3, "gpus": 4}, "3 rows cannot be shared evenly by 4 GPUs: set Batch size to 4 \\["),
    ],
)
def test_conflicting_settings_are_rejected(values, why):
    with pytest.raises(ValidationError, match=why):
        QLoRAConfig(**values)


def test_sample_prompts_are_split_at_lines():
    assert QLoRAConfig(sample_prompts=" One? \n\nTwo?\n").questions == ["One?", "Two?"]


def test_help_of_adapter_settings_claims_no_limit_of_the_chat():
    """The chat decodes DoRA, trained biases and whole modules: tests/core/chat/test_adapter_variants.py."""
    for name in ("lora_dora", "lora_bias", "modules_to_save", "lora_rslora"):
        assert "chat" not in FIELDS[name].description.lower(), name
