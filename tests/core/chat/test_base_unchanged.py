"""The base model stays unchanged, whatever adapters were added, asked, stopped and removed before."""

from typing import ClassVar

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from core.chat.adapters import read_adapter
from core.chat.lanes import Lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest
from core.models.loading import LoadedBase
from tests.helpers.tiny_model import make_adapter, tiny_llama


class Sequences(RuleBasedStateMachine):
    """Adding, asking, stopping and removing in any order leaves the base lane's logits those of the bare base."""

    folders: ClassVar[dict] = {}

    @initialize()
    def load(self):
        self.base = LoadedBase(tiny_llama(vocab_size=len(self.tokenizer)).eval(), self.tokenizer)
        self.ids = torch.tensor([[5, 9, 44, 301]])
        with torch.no_grad():
            self.bare = self.base.model(self.ids).logits
        self.lanes = Lanes(self.base)

    @rule(name=st.sampled_from(["small", "attention"]))
    def add(self, name):
        self.lanes.adapters.add(name, read_adapter(self.folders[name], torch.float32, torch.device("cpu")))

    @rule(stop_after=st.integers(0, 4), seed=st.integers(0, 3))
    def ask(self, stop_after, seed):
        keys = [None, *sorted(self.lanes.adapters)]
        sampling = Sampling(temperature=1, max_new_tokens=3, seed=seed)
        stream = self.lanes.generate([LaneRequest([{"role": "user", "content": "Hi."}], sampling, key) for key in keys])
        for _ in range(stop_after):
            next(stream, None)
        # The browser leaves in the middle of an answer.
        stream.close()

    @precondition(lambda self: hasattr(self, "lanes"))
    @rule(kept=st.sets(st.sampled_from(["small", "attention"])))
    def forget(self, kept):
        self.lanes.adapters.keep_only(kept & set(self.lanes.adapters))

    @rule()
    def base_alone(self):
        with torch.no_grad():
            assert torch.equal(self.base.model(self.ids).logits, self.bare)

    @rule()
    def base_beside_a_tuned_lane(self):
        keys = sorted(self.lanes.adapters)
        self.lanes.adapters.set_rows([None, *keys[:1]])
        with torch.no_grad():
            both = self.base.model(self.ids.repeat(1 + len(keys[:1]), 1)).logits
        self.lanes.adapters.set_rows([])
        torch.testing.assert_close(both[:1], self.bare, rtol=1e-5, atol=1e-6)
        if keys:
            assert not torch.allclose(both[1], self.bare[0], atol=1e-4)


@pytest.mark.slow
def test_lanes_base_is_unchanged_after_any_sequence_of_actions(small_tokenizer, tmp_path):
    fresh = lambda: tiny_llama(vocab_size=len(small_tokenizer))  # noqa: E731
    Sequences.folders = {
        "small": make_adapter(fresh(), tmp_path / "small", rank=2, seed=1),
        "attention": make_adapter(fresh(), tmp_path / "attention", rank=8, seed=2, targets=["q_proj"], rslora=True),
    }
    Sequences.tokenizer = small_tokenizer
    run_state_machine_as_test(
        Sequences,
        settings=settings(
            max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
