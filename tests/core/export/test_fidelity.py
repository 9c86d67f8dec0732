"""The comparison of an exported model: exact for the same weights, and equal to a direct computation for others."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from core.export.base_weights import WeightFiles
from core.export.fidelity import Comparison
from core.export.float_model import FloatModel
from core.export.merge import MergedModel
from core.export.result import Fidelity
from core.models import catalogue
from core.models.loading import Precision
from tests.helpers.exports import write_tiny_run
from tests.helpers.tiny_model import random_rows, tiny_llama


@pytest.fixture
def trained(settings, small_tokenizer):
    run = write_tiny_run(settings, small_tokenizer)
    source = WeightFiles(catalogue.find(settings, "tiny"), Precision("nf4", compute_dtype="float32"), "as trained")
    return MergedModel(source, run.adapter)


def tensors_of(merged):
    return {name: merged.read(name).float() for name in merged.names}


def logits(merged, tensors, ids):
    model = tiny_llama(vocab_size=merged.source.config.vocab_size, intermediate_size=96).eval()
    model.load_state_dict(tensors, strict=False)
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)


def run_compare(trained, exported, rows):
    seen = []
    comparison = Comparison(FloatModel(trained.source.model), trained, rows)
    found = comparison.compare(exported.items(), lambda share, stage: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1
    return found


def test_comparison_counts_its_tensors_and_rows_with_the_share_and_the_time_left(trained, monkeypatch):
    clock, seen = itertools.count(), []
    monkeypatch.setattr("core.export.countdown.time", SimpleNamespace(monotonic=lambda: 2.0 * next(clock)))
    comparison = Comparison(FloatModel(trained.source.model), trained, random_rows([9, 9, 9]))
    comparison.compare(tensors_of(trained).items(), lambda *stage: seen.append(stage))
    rows = [(share, stage) for share, stage in seen if "rows with the exported" in stage]
    text = "Reading compared rows with the exported model"
    assert [stage for _, stage in rows] == [
        f"{text}, 0 of 3", f"{text}, 1 of 3, about 4 s left", f"{text}, 2 of 3, about 2 s left", f"{text}, 3 of 3",
    ]  # fmt: skip
    assert [share for share, _ in rows] == pytest.approx([0.6, 0.6 + 0.4 / 3, 0.6 + 0.8 / 3, 1])
    counted = len(trained.names)
    assert any(stage.startswith(f"Reading tensors as trained, 1 of {counted}") for _, stage in seen)
    assert any(stage == f"Reading exported tensors, {counted} of {counted}" for _, stage in seen)


def test_same_weights_have_no_divergence(trained):
    rows = random_rows([12, 9])
    found = run_compare(trained, tensors_of(trained), rows)
    assert (found.rows, found.tokens) == (2, 12 - 5 + 9 - 5)
    assert found.same_choice == 1
    assert found.mean_kl == pytest.approx(0, abs=1e-6)
    assert found.loss == pytest.approx(found.exported_loss)
    assert found.grade == "same"
    assert found.verdict == "It answers as it did here."


def test_second_model_is_compared_with_the_same_distributions(trained):
    rows, seen = random_rows([12, 9] * 10), []
    comparison = Comparison(FloatModel(trained.source.model), trained, rows)
    other = {name: tensor + 0.02 * torch.randn_like(tensor) for name, tensor in tensors_of(trained).items()}
    first = comparison.compare(other.items(), lambda share, stage: None)
    again = comparison.compare(tensors_of(trained).items(), lambda share, stage: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert again.mean_kl == pytest.approx(0, abs=1e-6)
    assert first.mean_kl > 1e-3
    assert first.loss == again.loss
    # 20 rows are enough for an interval of the difference.
    low, high = first.difference
    assert low < first.exported_loss - first.loss < high


def test_few_rows_have_no_interval_so_only_the_same_file_is_alike(trained):
    rows = random_rows([9, 12])
    same = run_compare(trained, tensors_of(trained), rows)
    assert same.difference is None
    assert same.is_alike
    other = {name: tensor + 0.05 * torch.randn_like(tensor) for name, tensor in tensors_of(trained).items()}
    found = run_compare(trained, other, rows)
    assert found.difference is None
    assert found.grade != "same"
    assert not found.is_alike


def test_divergence_and_losses_equal_a_direct_computation(trained):
    rows = random_rows([14], prompt=4)
    exported = {name: tensor + 0.02 * torch.randn_like(tensor) for name, tensor in tensors_of(trained).items()}
    found = run_compare(trained, exported, rows)
    ids = rows[0]["input_ids"]
    # The logits after token 3 predict the first answer token, number 4.
    p, q = (logits(trained, tensors, ids)[3:-1] for tensors in (tensors_of(trained), exported))
    divergence = (p.exp() * (p - q)).sum(-1)
    labels = torch.tensor(ids[4:])[:, None]
    assert found.mean_kl == pytest.approx(float(divergence.mean()), rel=1e-3)
    assert found.high_kl == pytest.approx(float(divergence.quantile(0.99)), rel=1e-3)
    assert found.loss == pytest.approx(-float(p.gather(1, labels).mean()), rel=1e-5)
    assert found.exported_loss == pytest.approx(-float(q.gather(1, labels).mean()), rel=1e-5)
    assert found.same_choice == pytest.approx(float((p.argmax(-1) == q.argmax(-1)).double().mean()))


@pytest.mark.parametrize(
    ("mean_kl", "same_choice", "grade"),
    [(0.0005, 0.995, "same"), (0.0005, 0.9, "close"), (0.01, 0.99, "close"), (0.3, 0.5, "different")],
)
def test_grade_depends_on_divergence_and_choices(mean_kl, same_choice, grade):
    found = Fidelity(
        rows=1, tokens=1, same_choice=same_choice, mean_kl=mean_kl, high_kl=0.1, loss=2, exported_loss=2.01
    )
    assert found.grade == grade
    assert found.verdict in found.describe()
    assert "1 token in 1 held-out row;" in found.describe()
