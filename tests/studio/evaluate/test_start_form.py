import pytest

from core.errors import StudioError
from core.evaluate.config import BASE, EvaluationConfig
from studio.evaluate.start_form import Asking, config_of


@pytest.fixture
def do(store):
    return Asking(store)


def trained(run):
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    return run


def test_nothing_trained_yet_says_what_to_do_and_offers_the_base(do):
    run, subsets, lanes, models, hint = do.lists(None, [BASE])
    assert (run["value"], lanes["value"], hint["visible"]) == (None, [BASE], True)
    assert subsets["choices"] == [("keeper (340 rows)", "keeper")]
    assert models["choices"]


def test_the_newest_run_stands_beside_its_base_until_somebody_chooses(do, a_run):
    old, new = trained(a_run(created=1.0)), trained(a_run(created=2.0))
    a_run(created=3.0)  # no adapter yet
    run, _, lanes, _, hint = do.lists(None, [BASE])
    assert (run["value"], lanes["value"], hint["visible"]) == (new.id, [BASE, new.id], False)
    run, _, lanes, *_ = do.lists(old.id, [old.id, "gone"])
    assert (run["value"], lanes["value"]) == (old.id, [old.id])


def test_only_what_the_chosen_prompts_need_is_seen(do):
    assert [update["visible"] for update in do.kinds("held-out")] == [True, False, False, False]
    assert [update["visible"] for update in do.kinds("subset")] == [False, True, True, False]
    assert [update["visible"] for update in do.kinds("file")] == [False, False, False, True]


def form(**values):
    fields = EvaluationConfig.model_fields.items()
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields}
    return defaults | {"run": None, "subset": None} | values


def test_the_form_is_a_configuration_without_what_it_does_not_read():
    config = config_of(None, form(prompts="subset", subset="keeper", run="left over", split="train"))
    assert config == EvaluationConfig(subset="keeper", split="train")
    assert config_of("/tmp/up/list.txt", form(prompts="file", subset="left over")) == EvaluationConfig(file="list.txt")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"prompts": "file"}, "No file was chosen"),
        ({"prompts": "subset"}, "no subset is named"),
        ({"prompts": "held-out"}, "no run is named"),
        ({"prompts": "subset", "subset": "keeper", "lanes": []}, "Nobody is chosen"),
        ({"prompts": "subset", "subset": "keeper", "seed": None}, "Seed is empty"),
        ({"prompts": "subset", "subset": "keeper", "temperature": 9}, r"Temperature: .*given: 9"),
        ({"prompts": "all of them"}, "Prompts: "),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_the_name_in_the_form(values, words):
    with pytest.raises(StudioError, match=words):
        config_of(None, form(**values))


def test_a_start_that_cannot_be_leaves_nothing(do, a_run):
    for values, words in (
        ({"lanes": ["../runs"]}, "cannot be used"),
        ({"lanes": ["no-such-run"]}, "There is no run"),
        ({"lanes": [a_run().id]}, "has no adapter 'final'"),
        ({"subset": "none"}, "There is no subset"),
    ):
        with pytest.raises(StudioError, match=words):
            do.start(None, **form(prompts="subset", **({"subset": "keeper"} | values)))
    assert do.store.all() == []
