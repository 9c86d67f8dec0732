"""Steps of a recipe or of a solution are one answer, offered as such, and no turns."""

import json

import pytest

from core.data.formats.detect import detect
from core.data.formats.steps import is_step_name, steps_text

DISHES = ["Tomato soup", "Lentil salad", "Apple crumble", "Fish pie"]
PARTS = [["2 tomatoes", "1 onion"], ["250 g lentils", "oil"], ["5 apples", "flour"], ["1 cod", "milk"]]
STEPS = [[f"Chop all of it for the {dish}.", "Cook it."] for dish in DISHES]


def rows_of(**columns):
    return [{name: values[i] for name, values in columns.items()} for i in range(4)]


RECIPES = {
    "lists": rows_of(title=DISHES, ingredients=PARTS, directions=STEPS, link=["a.example"] * 4),
    "lists in the cells of a CSV file": rows_of(title=DISHES, ingredients=[str(one) for one in PARTS],
                                                directions=[json.dumps(one) for one in STEPS]),
    "instructions": rows_of(name=DISHES, ingredients=PARTS, instructions=STEPS, cuisine=["Home"] * 4),
    "objects": rows_of(title=DISHES, ingredients=PARTS,
                       instructions=[[{"text": text} for text in one] for one in STEPS]),
    "texts": rows_of(recipe_name=DISHES, ingredients=["\n".join(one) for one in PARTS],
                     method=["\n".join(one) for one in STEPS]),
    "a task": rows_of(task=[f"How is {one} made?" for one in DISHES], solution_steps=[
        [{"step": number, "text": text} for number, text in enumerate(one, 1)] for one in STEPS]),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_steps_are_offered_first_as_one_answer(name):
    rows = RECIPES[name]
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    assert "may be the answer to" in found.evidence
    question, answer = found.candidates[0].parse(rows[0])
    assert answer["content"] == "Chop all of it for the Tomato soup.\nCook it."
    assert question["content"].startswith(("Tomato soup\n\n2 tomatoes\n1 onion", "How is Tomato soup made?"))
    assert all(one.format != "messages" for one in found.candidates)


def test_steps_beside_a_result_are_offered_as_its_reasoning():
    rows = rows_of(problem=[f"How long does {one} take?" for one in DISHES], solution_steps=STEPS,
                   answer=["20 minutes in all", "half an hour", "an hour", "a day or so"])  # fmt: skip
    found = detect(rows)
    assert found.reading.format == "undecided"
    [first] = [one for one in found.candidates if one.extra == {"solution_steps": "reasoning"}][:1]
    answer = first.parse(rows[0])[-1]["content"]
    assert answer == "<think>\nChop all of it for the Tomato soup.\nCook it.\n</think>\n\n20 minutes in all"


def test_fields_of_steps_that_are_not_used_are_noted():
    notes = []
    assert steps_text([{"step": 1, "text": "Cook.", "points": 2}], "solution_steps", notes.append) == "Cook."
    assert notes == ["the field 'points' of solution_steps is not used"]


@pytest.mark.parametrize("name", ["num_steps", "step", "training_steps", "max_steps", "story"])
def test_names_of_other_columns_are_no_steps(name):
    assert not is_step_name(name)
