"""System metrics on a machine without a GPU."""

import psutil
import torch

from core.train.system_metrics import SystemMetrics


def test_system_metrics_without_gpu_report_process_memory_and_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gauge = SystemMetrics()
    found = gauge.read()
    assert 0.05 < found["memory_gib"] < psutil.virtual_memory().total / 2**30
    assert 0 <= found["utilization"] <= 100
