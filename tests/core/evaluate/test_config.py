import itertools

import pytest
from pydantic import ValidationError

from core.chat.sampling import Sampling
from core.evaluate import process
from core.evaluate.config import EvaluationConfig, lane_titles, parse_lane
from core.evaluate.prompts import Prompt
from core.models.loading import Precision


def test_config_prompts_are_inferred_from_file_or_subset():
    assert EvaluationConfig(file="a.txt").prompts == "file"
    assert EvaluationConfig(subset="s").prompts == "subset"
    assert EvaluationConfig(lanes=["base", "r1"]).prompts == "held-out"


def test_prompt_run_is_the_named_run_or_that_of_the_first_lane():
    assert EvaluationConfig(lanes=["base", "r1/step 20"]).prompt_run == "r1"
    assert EvaluationConfig(lanes=["base", "r1"], run="r2").prompt_run == "r2"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "no run is named"),
        ({"prompts": "subset"}, "no subset is named"),
        ({"subset": "s", "lanes": []}, "at least 1"),
        ({"subset": "s", "lanes": list("abcde")}, "at most 4"),
        ({"subset": "s", "lanes": ["base", "a", "base"]}, "'base' is listed twice"),
        ({"subset": "s", "limit": 0}, "greater than or equal to 1"),
        ({"subset": "s", "temperature": 3}, "less than or equal to 2"),
        ({"subset": "s", "unknown": 1}, "Extra inputs"),
    ],
    ids=str,
)
def test_config_invalid_values_raise(values, words):
    with pytest.raises(ValidationError, match=words):
        EvaluationConfig(**values)


def test_config_defaults_are_greedy_and_else_those_of_chat():
    config = EvaluationConfig(subset="s", seed=7, stop="###")
    assert config.sampling == Sampling(temperature=0, seed=7, stop="###")
    assert config.describe_settings() == "temperature 0.0, length 200, stop words '###'"
    assert config.limit == 1000


def test_lane_titles_are_short_and_unique():
    assert parse_lane("base") == ("", "")
    assert parse_lane("r") == ("r", "final")
    assert parse_lane("r/step 5") == ("r", "step 5")
    named = lane_titles(["base", "r1", "r1/step 5", "r2"], {"r1": "mine", "r2": "mine"})
    assert named == ["base", "mine", "mine step 5", "r2"]
    assert lane_titles(["base", "r1", "r1/step 5"], {"r1": ""}) == ["base", "tuned", "tuned step 5"]
    assert lane_titles(["r1", "r2"]) == ["r1", "r2"]


_NAMES = ["", "base", "Base", "tuned", "r1", "r2", "R2", "r1 step 5", "r1/step 5", "mine"]


@pytest.mark.parametrize("second", _NAMES)
@pytest.mark.parametrize("first", _NAMES)
def test_lane_titles_never_share_a_title_whatever_runs_are_named(first, second):
    for lanes in itertools.permutations(["base", "r1", "r1/step 5", "r2"]):
        for length in range(1, 5):
            titles = lane_titles(list(lanes[:length]), {"r1": first, "r2": second})
            assert len({title.casefold() for title in titles}) == length, (lanes[:length], titles)


@pytest.mark.parametrize(
    ("precision_fields", "expected"),
    [({}, Precision()), ({"quantization": "none", "compute_dtype": "float32"}, Precision("none", False, "float32"))],
)
def test_resolve_evaluation_lanes_base_alone_uses_configured_precision(runs, precision_fields, expected):
    config = EvaluationConfig(file="prompts.txt", **precision_fields)
    prompt = Prompt([{"role": "user", "content": "Hi"}])
    assert process.resolve_evaluation_lanes(runs, config, prompt).base.precision == expected
    assert all(str(value) in config.describe_settings() for value in precision_fields.values())
