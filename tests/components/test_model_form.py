"""Form from a model: the widget of every type, the validator field by field, empty widgets left out."""

from typing import Literal

import gradio as gr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from components.model_form import build_field, build_fields, form_validator, non_empty_values
from core.chat.sampling import Sampling
from core.data.subset import Recipe
from core.errors import sentence
from core.runs.config import QLoRAConfig


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["tea", "coffee"] = Field("coffee", title="Drink", description="What to pour.")
    hot: bool = Field(True, title="Hot", description="Or iced.")
    cups: int = Field(2, ge=1, le=9, title="Cups", description="How many.")
    spoons: int = Field(1, ge=0, title="Spoons", description="Of sugar.")
    share: float = Field(0.25, ge=0, le=1, title="Milk", description="As a share.")
    name: str = Field("Ada", title="Name", description="To call out.")
    table: int | None = Field(None, title="Table", description="Empty: take away.")
    notes: list[str] | str = Field(default_factory=lambda: "none", title="Notes")
    extras: list[Literal["lemon", "sugar"]] = Field(["sugar"], title="Extras", description="Any.")
    bare: str

    @model_validator(mode="after")
    def _together(self):
        if self.kind == "tea" and self.share == 1:
            raise ValueError("tea of nothing but milk")
        return self


@pytest.mark.parametrize(
    ("name", "widget", "value"),
    [
        ("kind", gr.Dropdown, "coffee"),
        ("hot", gr.Checkbox, True),
        ("cups", gr.Number, 2),
        ("spoons", gr.Number, 1),
        ("share", gr.Number, 0.25),
        ("name", gr.Textbox, "Ada"),
        ("table", gr.Number, None),
        ("notes", gr.Textbox, "none"),
        ("extras", gr.Dropdown, ["sugar"]),
        ("bare", gr.Textbox, None),
    ],
)
def test_build_field_each_type_has_its_widget_default_label_and_help(name, widget, value):
    field = build_field("order", Order, name)
    assert type(field) is widget
    assert field.value == value
    assert field.label == (Order.model_fields[name].title or name)
    assert field.info == Order.model_fields[name].description
    assert field.elem_id == f"order-field-{name}"


def test_list_of_literals_offers_them_or_the_given_choices():
    assert [value for _, value in build_field("order", Order, "extras").choices] == ["lemon", "sugar"]
    fewer = build_field("order", Order, "extras", [("Sugar", "sugar")])
    assert (fewer.choices, fewer.multiselect) == ([("Sugar", "sugar")], True)


def test_build_field_integer_has_precision_zero():
    precisions = {name: build_field("order", Order, name).precision for name in ("cups", "spoons", "table", "share")}
    assert precisions == {"cups": 0, "spoons": 0, "table": 0, "share": None}


def test_build_field_literal_offers_its_values_only():
    field = build_field("order", Order, "kind")
    assert [value for _, value in field.choices] == ["tea", "coffee"]
    assert not field.allow_custom_value


def test_build_field_with_choices_takes_other_values_too():
    field = build_field("order", Order, "name", [("Ada L.", "Ada"), ("Bob", "Bob")])
    assert isinstance(field, gr.Dropdown)
    assert field.choices == [("Ada L.", "Ada"), ("Bob", "Bob")]
    assert field.allow_custom_value
    assert field.value == "Ada"


def test_build_fields_returns_widgets_by_name_in_the_given_order():
    fields = build_fields("order", Order, ["share", "name"], {"name": [("Bob", "Bob")]})
    assert list(fields) == ["share", "name"]
    assert isinstance(fields["name"], gr.Dropdown)


@pytest.mark.parametrize("model", [QLoRAConfig, Sampling, Recipe], ids=lambda model: model.__name__)
def test_build_fields_shows_title_and_help_of_every_studio_field(model):
    # These parts of a recipe are chosen in the table, not in a form.
    nested = {"reading", "view", "picked", "excluded", "edited", "added"}
    for name, field in build_fields(
        "order", model, [name for name in model.model_fields if name not in nested]
    ).items():
        about = model.model_fields[name]
        assert (field.label, field.info) == (about.title, about.description)
        if not about.is_required():
            assert field.value == about.get_default(call_default_factory=True)


def test_form_validator_returns_one_result_per_field_and_names_the_value():
    results = form_validator(Order, sentence)(share=7, bare="x", cups=0, kind="tea")
    assert [result["is_valid"] for result in results] == [False, True, False, True]
    assert results[0]["message"] == "Milk must be at most 1 (given: 7)."
    assert "given: 0" in results[2]["message"]
    assert results[1]["message"] == results[3]["message"] == ""


def test_form_validator_ignores_problems_across_fields():
    assert all(result["is_valid"] for result in form_validator(Order, sentence)(kind="tea", share=1, bare="x"))


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"lora_rank": st.integers(-3, 600), "lora_dropout": st.floats(-1, 2), "max_length": st.integers(0, 40)}
    )
)
def test_form_validator_rejects_what_the_model_rejects(values):
    results = dict(zip(values, form_validator(QLoRAConfig, sentence)(**values), strict=True))
    try:
        QLoRAConfig(**values)
        refused = set()
    except ValidationError as error:
        refused = {problem["loc"][0] for problem in error.errors()}
    assert {name for name, result in results.items() if not result["is_valid"]} == refused


def test_non_empty_values_leave_the_default_to_the_model():
    assert form_validator(QLoRAConfig, sentence)(lora_rank=None, subset="")[0]["is_valid"]
    assert QLoRAConfig(**non_empty_values({"lora_rank": None, "subset": "", "max_steps": 7})) == QLoRAConfig(
        max_steps=7
    )


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.none(), st.just(""), st.booleans(), st.integers(), st.text(max_size=3))
    )
)
def test_non_empty_values_drops_none_and_empty_text_only(values):
    non_empty = non_empty_values(values)
    assert all(non_empty[name] is value for name, value in values.items() if name in non_empty)
    assert all(value is None or value == "" for name, value in values.items() if name not in non_empty)
    assert not any(value is None or value == "" for value in non_empty.values())
