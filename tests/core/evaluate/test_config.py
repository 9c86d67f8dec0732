import pytest
from pydantic import ValidationError

from core.chat.sampling import Sampling
from core.evaluate import process
from core.evaluate.config import EvaluationConfig, lane_titles, parse_lane
from core.evaluate.prompts import Prompt
from core.models.loading import Precision


def test_whoever_names_a_file_or_a_subset_means_it():
    assert EvaluationConfig(file="a.txt").prompts == "file"
    assert EvaluationConfig(subset="s").prompts == "subset"
    assert EvaluationConfig(lanes=["base", "r1"]).prompts == "held-out"


def test_the_held_out_rows_are_those_of_the_run_named_or_of_the_first_lane_with_one():
    assert EvaluationConfig(lanes=["base", "r1/step 20"]).prompt_run == "r1"
    assert EvaluationConfig(lanes=["base", "r1"], run="r2").prompt_run == "r2"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "no run is named"),
        ({"prompts": "subset"}, "no subset is named"),
        ({"subset": "s", "lanes": []}, "at least 1"),
        ({"subset": "s", "lanes": list("abcde")}, "at most 4"),
        ({"subset": "s", "lanes": ["base", "a", "base"]}, "'base' is there twice"),
        ({"subset": "s", "limit": 0}, "greater than or equal to 1"),
        ({"subset": "s", "temperature": 3}, "less than or equal to 2"),
        ({"subset": "s", "unknown": 1}, "Extra inputs"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(values, words):
    with pytest.raises(ValidationError, match=words):
        EvaluationConfig(**values)


def test_answers_are_greedy_unless_asked_otherwise_and_else_as_in_the_chat():
    config = EvaluationConfig(subset="s", seed=7, stop="###")
    assert config.sampling == Sampling(temperature=0, seed=7, stop="###")
    assert config.describe_settings() == "temperature 0.0, length 200, stop words '###'"
    assert config.limit == 1000


def test_lanes_have_titles_that_tell_them_apart():
    assert parse_lane("base") == ("", "")
    assert parse_lane("r") == ("r", "final")
    assert parse_lane("r/step 5") == ("r", "step 5")
    named = lane_titles(["base", "r1", "r1/step 5", "r2"], {"r1": "mine", "r2": "mine"})
    assert named == ["base", "mine", "mine step 5", "r2"]
    assert lane_titles(["base", "r1", "r1/step 5"], {"r1": ""}) == ["base", "tuned", "tuned step 5"]
    assert lane_titles(["r1", "r2"]) == ["r1", "r2"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [({}, Precision()), ({"quantization": "none", "compute_dtype": "float32"}, Precision("none", True, "float32"))],
)
def test_the_base_alone_has_the_precision_that_is_asked_for(runs, asked, expected):
    config = EvaluationConfig(file="prompts.txt", **asked)
    prompt = Prompt([{"role": "user", "content": "Hi"}])
    assert process.resolve_evaluation_lanes(runs, config, prompt).base.precision == expected
    assert all(str(value) in config.describe_settings() for value in asked.values())
