"""Resolving lanes: runs, adapters, one shared base, and the reason if there is none."""

import pytest

from core.access import roles
from core.chat.requests import available_bases, base_identity, resolve_lanes
from core.chat.sampling import Sampling
from core.chat.types import BaseIdentity, LaneRequest, adapter_key
from core.data import sources
from core.errors import StudioError
from core.models import embedded
from core.runs.config import QLoRAConfig

SAMPLING = Sampling()
TINY = BaseIdentity("tiny", quantization="none", compute_dtype="float32")


def lane(run=None, prompt="Hi.", **settings):
    key = adapter_key(run.id, "final") if run else None
    return LaneRequest([{"role": "user", "content": prompt}], SAMPLING.model_copy(update=settings), key)


def test_resolve_lanes_finds_base_template_and_adapter_folder(store, tuned):
    run = tuned(chat_template="chatml")
    found = resolve_lanes(store, [lane(), lane(run)])
    assert found.base == base_identity(store, run) == TINY
    assert [one.template for one in found.lanes] == ["chatml", "chatml"], "both models read the same prompt"
    assert found.adapter_folders == {f"{run.id}/final": run.adapter}


@pytest.mark.parametrize(("changed", "reason"), [
    ({"quantization": "nf4"}, "quantization is nf4, not none"),
    ({"compute_dtype": "bfloat16"}, "compute dtype is bfloat16, not float32"),
    ({"attention": "eager"}, "attention is eager, not auto"),
    ({"model": "other"}, "model is other, not tiny"),
])  # fmt: skip
def test_resolve_lanes_runs_that_differ_in_one_field_are_refused_with_its_name(store, tuned, changed, reason):
    one, two = tuned(), tuned(**changed)
    with pytest.raises(StudioError, match=f"The run {two.title} cannot answer beside the other lanes: its {reason}"):
        resolve_lanes(store, [lane(one), lane(two)])


def test_resolve_lanes_runs_that_differ_in_double_quantization_are_refused_with_its_name(store, tuned):
    one, two = (tuned(quantization="nf4", double_quantization=double) for double in (True, False))
    with pytest.raises(StudioError, match="double quantization is off, not on"):
        resolve_lanes(store, [lane(one), lane(two)])


@pytest.mark.parametrize(("request_", "words"), [
    (lane(prompt=" "), "prompt is empty"),
    (LaneRequest([{"role": "user", "content": "Hi."}], SAMPLING, "no-such-run/final"), "no-such-run"),
    (lane(), "No model is chosen"),
])  # fmt: skip
def test_resolve_lanes_that_cannot_be_answered_give_the_reason(store, request_, words):
    with pytest.raises(StudioError, match=words):
        resolve_lanes(store, [request_])


def test_resolve_lanes_unknown_adapter_names_the_known_ones(store, tuned):
    request = lane(tuned())
    request.adapter = request.adapter.replace("final", "step 9")
    with pytest.raises(StudioError, match=r"has no adapter 'step 9'\. It has: final"):
        resolve_lanes(store, [request])


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, ("none", False, "float32")),
        ({"quantization": "nf4"}, ("nf4", True, "float32")),
        ({"compute_dtype": "bfloat16"}, ("none", False, "bfloat16")),
        ({"quantization": "int8", "compute_dtype": "auto"}, ("int8", False, "auto")),
    ],
    ids=str,
)
def test_resolve_lanes_base_has_the_precision_of_the_run_or_of_the_settings(store, tuned, overrides, expected):
    run = tuned()
    for found in (
        resolve_lanes(store, [lane(**overrides), lane(run, **overrides)]).base,
        resolve_lanes(store, [lane(**overrides)], TINY).base,
    ):
        assert (found.quantization, found.double_quantization, found.compute_dtype) == expected


def test_resolve_lanes_of_different_precision_are_refused(store):
    with pytest.raises(StudioError, match="different precisions"):
        resolve_lanes(store, [lane(), lane(quantization="nf4")], TINY)


def test_resolve_lanes_visitor_cannot_choose_a_precision(store):
    with roles.acting(roles.Caller(roles.Role.VISITOR, "v")), pytest.raises(StudioError, match="Only the owner"):
        resolve_lanes(store, [lane(quantization="nf4")], TINY)


def test_available_bases_lists_those_of_runs_first_and_each_once(store, tuned):
    for config in ({}, {}, {"compute_dtype": "bfloat16"}):
        tuned(**config)
    found = available_bases(store)
    assert len(set(found)) == len(found)
    assert {base.compute_dtype for base in found if base.model == "tiny"} == {"float32", "bfloat16"}
    assert found[0].model == "tiny"
    assert BaseIdentity("other") in found


def test_available_bases_does_not_convert_the_embedded_model(store, monkeypatch):
    run = store.create(QLoRAConfig(model=embedded.NAME, subset=sources.BUNDLED))
    run.adapter.mkdir(parents=True)
    (run.adapter / "adapter_config.json").write_text("{}")
    monkeypatch.setattr(embedded, "prepare", lambda *_: pytest.fail("A list waits half a minute for the model."))
    assert available_bases(store)[0].model == embedded.NAME
