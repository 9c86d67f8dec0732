import psutil
import torch

from core.train.system_metrics import Gauge


def test_memory_and_use_of_this_process_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gauge = Gauge()
    found = gauge.read()
    assert 0.05 < found["memory_gib"] < psutil.virtual_memory().total / 2**30
    assert 0 <= found["use"] <= 100
